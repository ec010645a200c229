"""Numbers over HTTP: the same as of the tools, in three forms, and refusals of one line."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.ingest.api.status import description
from enrichment_pipeline.llm.counting import Counting
from enrichment_pipeline.llm.http import reading_routes
from enrichment_pipeline.llm.http_counting import _arguments
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.mcp_asking import ask, fill, text_of
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CART = "page=/users/:id"
# Each question over HTTP, and as a tool.
QUESTIONS: dict[str, tuple[str, dict[str, object]]] = {
    "count": ("?by=page&limit=2", {"by": "page", "limit": 2}),
    "funnel": (f"?step={CART}&step=order placed", {"steps": [CART, "order placed"]}),
    "paths": (f"?step={CART}&depth=2&where=", {"step": CART, "depth": 2}),
    "compare": (f"?step={CART}", {"step": CART}),
    "retention": ("?every=day&start=2026-03-01", {"every": "day", "start": "2026-03-01"}),
}


@pytest.fixture
def client(store: Store, settings: Settings) -> Iterator[TestClient]:
    secret = settings.model_copy(update={"read_token": SecretStr("reader")})
    with TestClient(
        create_app(store, secret, parts=Parts(readable=reading_routes(store)))
    ) as client:
        client.headers["Authorization"] = "Bearer reader"
        yield client


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_answer_is_that_of_the_tool_in_each_form(
    client: TestClient, store: Store, rules: Rules, question: str
) -> None:
    fill(store, rules)
    given, arguments = QUESTIONS[question]
    path = f"/v1/{question}{given}"
    tool = asyncio.run(ask(store, question, **arguments))
    as_text = client.get(path)
    assert as_text.headers["Content-Type"].startswith("text/plain")
    assert _timeless(as_text.text) == _timeless(text_of(tool))
    data = client.get(path, headers={"Accept": "application/json"}).json()
    assert _timeless(json.dumps(data)) == _timeless(json.dumps(tool.structured_content))
    as_markdown = client.get(path, headers={"Accept": "text/markdown"})
    assert as_markdown.headers["Content-Type"].startswith("text/markdown")
    assert data["summary"].partition("; signals")[0] in as_markdown.text
    if data["rows"]:
        assert f"| {' | '.join(data['columns'])} |" in as_markdown.text
        assert as_markdown.text.count("\n|") == 2 + len(data["rows"])
    assert client.get(path, headers={"Accept": "image/png"}).status_code == 406
    assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401


def _timeless(text: str) -> str:
    """Without when the sessions were built, which another question asks again."""
    return text.partition("; signals of sessions built up to")[0]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/count?by=colour", "by: Input should be 'event'"),
        ("/v1/count?wher=page=/", "wher is no argument here; there are by, where, start"),
        ("/v1/count?start=yesterday", "start='yesterday' is no ISO 8601 time"),
        ("/v1/count?start=2026-03-02&end=2026-03-01", "start must be before end"),
        ("/v1/count?where=page=/user", 'no page is shown as "/user"; there is /users/:id'),
        ("/v1/count?where=%00", "there is a NUL in it"),
        ("/v1/count?limit=0", "limit: Input should be greater than or equal to 1"),
        ("/v1/count?limit=1&limit=2", "limit is given more than once"),
        ("/v1/count?max_tokens=many", "max_tokens='many' is no number"),
        ("/v1/count?person=nobody&compare_to=2099-01-01", "must end before"),
        ("/v1/funnel", "step: Field required"),
        ("/v1/funnel?step=/", "at least 2 items"),
        ("/v1/funnel?step=/&step=signal=error", "a signal is no step of a funnel"),
        ("/v1/paths?step=/&depth=7", "depth: Input should be less than or equal to 6"),
        ("/v1/paths?step=/&compare_to=previous", "compare_to is no argument here"),
        ("/v1/compare?step=/&against=page=/", "both sides are the same"),
        ("/v1/retention?start=2020-01-01", "are too many, at most 12"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(
    client: TestClient, store: Store, rules: Rules, path: str, says: str
) -> None:
    fill(store, rules)
    answer = client.get(path)
    assert answer.status_code == 400, answer.text
    assert says in answer.text
    assert len(answer.text.splitlines()) == 1


@pytest.mark.parametrize("path", ["/v1/count", "/v1/retention"])
@pytest.mark.parametrize("period", ["start=0001-01-01", "end=9999-12-31", "end=0001-01-01"])
def test_times_beyond_all_calendars_are_times_too(
    client: TestClient, path: str, period: str
) -> None:
    answer = client.get(f"{path}?{period}")
    assert answer.status_code in (200, 400)
    assert len(answer.text.splitlines()) == 1


def test_the_description_has_the_arguments_of_each_question(store: Store) -> None:
    described = description()["paths"]
    for question in Counting(store).questions():
        [of_one] = described[f"/v1/{question.__name__}"].values()
        model = _arguments(question)
        named = {
            field.alias or name: field.is_required() for name, field in model.model_fields.items()
        }
        found = {one["name"]: one.get("required", False) for one in of_one["parameters"]}
        assert found == named
        properties = model.model_json_schema()["properties"]
        for one in of_one["parameters"]:
            for limit in ("default", "enum", "minimum", "maximum", "minItems", "maxItems"):
                if limit in one["schema"]:
                    kinds = [properties[one["name"]], *properties[one["name"]].get("anyOf", [])]
                    assert one["schema"][limit] in [kind.get(limit) for kind in kinds]


def test_every_answer_keeps_to_its_tokens(client: TestClient, store: Store, rules: Rules) -> None:
    events = []
    for number in range(60):
        at = NOON + timedelta(hours=3 * number)
        pages = [f"/{'long-name-' * 4}{chr(97 + number % 7)}{n}" for n in range(3)]
        events += visit(f"v{number}", at, "/start", *pages, person=f"u{number % 9}")
        for second in range(30):
            named = {"$session_id": f"v{number}", "$pathname": "/start"}
            name = f"a rather long name of an event, number {chr(97 + second)}{number % 2}"
            later = at + timedelta(seconds=60 + second)
            person = f"u{number % 9}"
            events.append(make_event(name, later, distinct_id=person, properties=named))
    take_in(store, rules, events)
    for path in (
        *(f"/v1/count?by={by}&limit=200" for by in ("event", "page", "hour")),
        "/v1/count?by=hour&limit=200&compare_to=previous",
        "/v1/funnel?step=/start&step=$pageview&step=page=/long*&step=page=/long*",
        "/v1/paths?step=/start&depth=6&limit=200",
        "/v1/compare?step=event=a rather long name of an event, number b0&limit=200",
        "/v1/retention?every=day",
        "/v1/retention?every=day&start=2026-02-26",
    ):
        for kind in ("text/plain", "application/json"):
            answer = client.get(path, headers={"Accept": kind})
            assert answer.status_code == 200, answer.text
            assert estimate_tokens(answer.text) <= 1_500, path
            assert answer.text.count("\n") > 1 or kind != "text/plain"
        more = answer.json()["more"]
        assert more is None or "raise limit and max_tokens" in more
