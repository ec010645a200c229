"""The page of the HTTP routes, from the API's own OpenAPI description."""

from collections.abc import Iterator, Mapping
from typing import Any

from enrichment_pipeline.ingest.api.status import description
from reference.markdown import code, page, plain, said, table

INTRODUCTION = """\
What the API answers to, as `GET /openapi.json` describes it; [The ingest API](api.md) says how it is used. Every path
is good with and without a slash at its end. With *read token*: `Authorization: Bearer …`, or, for pages, the cookie of
`/sign-in`."""

_TAGS = {
    "v0": "Events, as PostHog's SDKs send them",
    "v1": "Events, each answered by itself",
    "webhook": "Events that PostHog forwards",
    "browser": "What posthog-js asks for",
    "reading": "What users did, for programs and models",
    "pages": "What users did, for people",
    "operation": "Operation",
}
_METHODS = ("get", "post", "put", "delete")
_WHERE = "ingest/api/openapi.yaml"


def routes_page() -> str:
    """The page, as Markdown."""
    api = description()
    found = list(every_operation(api))
    parts = [
        f"## {title}\n\n" + "\n\n".join(_operation(api, *one) for one in _grouped(found, tag))
        for tag, title in _TAGS.items()
    ]
    return page("HTTP routes", INTRODUCTION, *parts)


def every_tag() -> set[str]:
    """The tags of the description, each of which has a title here."""
    return {tag for _, one in every_operation(description()) for tag in one["tags"]}


def every_operation(api: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The operations of a description, by method and path."""
    for path, item in api["paths"].items():
        for method in _METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


def _grouped(
    found: list[tuple[str, Mapping[str, Any]]], tag: str
) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    """The operations of a tag, those that are described once together."""
    together: dict[int, tuple[list[str], Mapping[str, Any]]] = {}
    for name, one in found:
        if one["tags"] == [tag]:
            together.setdefault(id(one), ([], one))[0].append(name)
    return iter(together.values())


def _operation(api: Mapping[str, Any], names: list[str], one: Mapping[str, Any]) -> str:
    words = plain(said(one.get("summary"), names[0], _WHERE))
    if {"read_token": []} in one.get("security", ()):
        words += " Read token."
    parts = [f"### {code(names[0])}", words]
    if names[1:]:
        parts.append("Also " + ", ".join(map(code, names[1:])) + ".")
    rows = list(_parameters(api, names[0], one))
    if rows:
        parts.append(table(("parameter", "in", "meaning"), rows))
    parts.append(" · ".join(_answers(api, one)))
    return "\n\n".join(parts)


def _parameters(
    api: Mapping[str, Any], name: str, one: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    for parameter in one.get("parameters", ()):
        found = followed(api, parameter)
        words = said(found.get("description"), f"{found['name']} of {name}", _WHERE)
        where = f"{found['in']}, needed" if found.get("required") else str(found["in"])
        yield code(found["name"]), where, plain(words)


def _answers(api: Mapping[str, Any], one: Mapping[str, Any]) -> Iterator[str]:
    for status, answer in one["responses"].items():
        words = str(followed(api, answer)["description"]).strip().rstrip(".")
        yield f"**{status}** {plain(' '.join(words.split()))}"


def followed(api: Mapping[str, Any], one: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference of the description refers to."""
    if "$ref" not in one:
        return one
    found: Any = api
    for key in str(one["$ref"]).removeprefix("#/").split("/"):
        found = found[key]
    return dict(found)
