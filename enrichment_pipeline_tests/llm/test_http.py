"""Timelines over HTTP: who may ask, in which form, and how fresh they are."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.llm.http import reading_routes
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ONE = "/v1/sessions/one/timeline"


@pytest.fixture
def client(store: Store, settings: Settings) -> Iterator[TestClient]:
    secret = settings.model_copy(update={"read_token": SecretStr("reader")})
    with TestClient(
        create_app(store, secret, parts=Parts(readable=reading_routes(store)))
    ) as client:
        client.headers["Authorization"] = "Bearer reader"
        yield client


@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer wrong", "Bearer phc_local", "reader"])
def test_only_who_has_the_read_token_may_ask(client: TestClient, token: str) -> None:
    answer = client.get(ONE, headers={"Authorization": token})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("accept", "kind", "begins"),
    [
        ("*/*", "text/plain", "session one"),
        ("text/plain", "text/plain", "session one"),
        ("text/markdown", "text/markdown", "## Session one"),
        ("application/json", "application/json", "{"),
        ("text/html, application/json;q=0.9, text/markdown;q=0.95", "text/markdown", "## "),
    ],
)
def test_the_form_is_that_which_is_accepted(
    client: TestClient, store: Store, rules: Rules, accept: str, kind: str, begins: str
) -> None:
    take_in(store, rules, visit("one", NOON, "/", "/pricing"))
    answer = client.get(ONE, headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.text.startswith(begins)
    assert "/pricing" in answer.text


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/v1/sessions/nobody/timeline", "*/*", 404),
        ("/v1/people/nobody/timeline", "*/*", 404),
        ("/v1/sessions/person_0123456789@20260302T120000Z/timeline", "*/*", 404),
        (f"{ONE}?max_tokens=some", "*/*", 400),
        (f"{ONE}?max_tokens=3", "*/*", 400),
        (ONE, "text/html", 406),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(
    client: TestClient, store: Store, rules: Rules, path: str, accept: str, status: int
) -> None:
    take_in(store, rules, visit("one", NOON, *[f"/page/{letter}" for letter in "abcdefghij"] * 9))
    answer = client.get(path, headers={"Accept": accept})
    assert answer.status_code == status
    assert len(answer.text.splitlines()) == 1


def test_a_budget_of_tokens_is_kept(client: TestClient, store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, *[f"/page/{letter}" for letter in "abcdefghij"] * 9))
    whole, less = client.get(ONE), client.get(f"{ONE}?max_tokens=200")
    assert len(less.text) < len(whole.text) / 2
    assert "left out" in less.text
    assert "left out" not in whole.text


def test_a_session_that_goes_on_is_shown_up_to_its_newest_enriched_event(
    client: TestClient, store: Store, rules: Rules
) -> None:
    now = datetime.now(UTC)
    for number, path in enumerate(("/", "/pricing", "/checkout")):
        at = now - timedelta(seconds=30 - number)
        event = make_event("$pageview", at, properties={"$session_id": "live", "$pathname": path})
        sent = client.post("/e/", content=event.replace(b"{", b'{"api_key": "phc_local", ', 1))
        assert sent.status_code == 200
        enrich_due(store, rules)
        answer = client.get("/v1/sessions/live/timeline")
        assert f"view {path}" in answer.text
        assert "still going on" in answer.text


def test_the_newest_session_of_a_person_is_found_by_any_id(
    client: TestClient, store: Store, rules: Rules
) -> None:
    identify = make_event(
        "$identify",
        NOON,
        distinct_id="ann@example.com",
        properties={"$anon_distinct_id": "anonymous-7", "$session_id": "one"},
    )
    take_in(store, rules, [identify, *visit("two", NOON + timedelta(hours=3), "/later")])
    take_in(store, rules, visit("three", NOON + timedelta(hours=1), "/", person="anonymous-7"))
    for person in ("ann@example.com", "anonymous-7"):
        answer = client.get(f"/v1/people/{person}/timeline")
        assert answer.text.startswith("session three, person_")
        assert "example.com" not in answer.text


@pytest.mark.parametrize("what", ["sessions", "people"])
@pytest.mark.parametrize("name", ["a%00b", "%ED%A0%80", "%FF", "a%2Fb", "'; DROP TABLE x", "%"])
def test_a_name_that_nobody_can_have_is_not_found(client: TestClient, what: str, name: str) -> None:
    answer = client.get(f"/v1/{what}/{name}/timeline?project=%00")
    assert answer.status_code == 404
    assert client.get(f"/v1/{what}/{name}/timeline").status_code == 404
