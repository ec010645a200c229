"""`python -m reference.for_models FOLDER`: `llms.txt` and `llms-full.txt` of the site in a folder,
and its pages as Markdown, which models read better than HTML (https://llmstxt.org).
"""

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PROJECT = Path(__file__).parents[1]
DOCS = PROJECT / "docs"
CONFIGURATION = PROJECT / "zensical.toml"


class Page(NamedTuple):
    """A page of the site."""

    section: str
    path: str
    """Below `docs`."""
    title: str
    summary: str
    """Its first sentence."""
    text: str


def every_page() -> Iterator[Page]:
    """The pages in the order of the navigation."""
    for section, path in _walk(_project()["nav"], ""):
        text = (DOCS / path).read_text(encoding="utf-8")
        title = text.partition("\n")[0].removeprefix("# ")
        yield Page(section, path, title, _summary(text), text)


def write(folder: Path) -> None:
    """Write all of it into the folder of the site."""
    pages = list(every_page())
    (folder / "llms.txt").write_text("\n".join(_listed(pages)) + "\n", encoding="utf-8")
    whole = "\n\n".join(f"<!-- {one.path} -->\n\n{one.text.strip()}" for one in pages)
    (folder / "llms-full.txt").write_text(f"{whole}\n", encoding="utf-8")
    for one in pages:
        (folder / one.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(DOCS / one.path, folder / one.path)


def _project() -> dict[str, Any]:
    with CONFIGURATION.open("rb") as file:
        return dict(tomllib.load(file)["project"])


def _walk(entries: list[Any], section: str) -> Iterator[tuple[str, str]]:
    for entry in entries:
        if isinstance(entry, str):
            yield section, entry
            continue
        [(title, inner)] = entry.items()
        if isinstance(inner, str):
            yield section or title, inner
        else:
            yield from _walk(inner, section or title)


def _summary(text: str) -> str:
    """The first sentence of a page, without its links."""
    inner = text.split("\n\n")[1:]
    first = next(one for one in inner if not one.startswith(("<!--", "!", "#", "```")))
    sentence = re.split(r"(?<=\.)\s", " ".join(first.split()), maxsplit=1)[0]
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", sentence)


def _listed(pages: list[Page]) -> Iterator[str]:
    project = _project()
    yield from (f"# {project['site_name']}", "", f"> {project['site_description']}", "")
    yield "All pages in one file: [llms-full.txt](llms-full.txt)."
    section = ""
    for one in pages:
        if one.section != section:
            section = one.section
            yield from ("", f"## {section}", "")
        yield f"- [{one.title}]({one.path}): {one.summary}"


if __name__ == "__main__":
    write(Path(sys.argv[1]))
