"""One person over several sessions: the command, the tool of the MCP server, the HTTP route."""

import asyncio
import json
import re
from datetime import timedelta

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.llm.http import reading_routes
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.mcp_asking import NOON, ask, text_of
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in, visit

DAY = timedelta(days=1)
ANN = "ann@example.com"


def _event(
    name: str, session: str | None, hours: float, who: str = ANN, **properties: object
) -> bytes:
    of_session = {NAME: session} if session else {}
    moment = NOON + timedelta(hours=hours)
    return make_event(name, moment, distinct_id=who, properties={**of_session, **properties})


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    """Ann a month ago and in three sessions of this week, the last on a phone, where she has
    another id and no session has one; and somebody else."""
    take_in(
        store,
        rules,
        [
            *visit("old", NOON - 30 * DAY, "/", "/pricing", person=ANN),
            *visit("monday", NOON - 3 * DAY, "/", "/checkout", person=ANN),
            _event("checkout started", "monday", -71.9, **{"$pathname": "/checkout"}),
            *visit("tuesday", NOON - 2 * DAY, "/", "/a", "/", "/a", person=ANN),
            _event("trial started", "tuesday", -47.9),
            _event("order placed", "tuesday", -47.8),
            _event("upload started", None, 0, who="phone", **{"$pathname": "/upload"}),
            _event("$identify", None, 0.1, **{"$anon_distinct_id": "phone"}),
            *visit("other", NOON, "/admin", person="bob"),
        ],
    )
    return store


@pytest.mark.usefixtures("filled")
def test_a_week_of_a_person_is_one_answer() -> None:
    shown = call("person", ANN).stdout
    head, *lines = shown.splitlines()
    assert head.startswith("person_")
    assert head.endswith(
        "2026-02-23 12:06 to 2026-03-02 12:06 UTC: 3 sessions on 3 days, 11 events; "
        "known since 2026-01-31"
    )
    assert "signals: back_and_forth 1" in lines
    new = next(line for line in lines if line.startswith("new: "))
    assert new == (
        "new: /checkout, /a, /upload, checkout started, trial started, order placed, upload started"
    )
    left = next(line for line in lines if line.startswith("not finished: "))
    assert re.fullmatch(r"not finished: upload started \(person_\w+@\w+, 03-02 12:00\)", left)
    assert "checkout started" not in left
    assert "/admin" not in shown
    assert ANN not in shown
    times = [line[:16] for line in lines if line.startswith("2026-")]
    assert times == sorted(times, reverse=True)


@pytest.mark.usefixtures("filled")
def test_a_person_is_the_same_by_each_id_and_by_the_pseudonym() -> None:
    call("sessions", "build")
    by_id = json.loads(call("person", ANN, "--json").stdout)
    handles = [f"p{one['session'][1:]}" for one in by_id["sessions"]]
    assert by_id["handle"] in {*handles, "p1"}
    assert all(
        json.loads(call("person", one, "--json").stdout) == by_id
        for one in ("phone", by_id["person"], *handles)
    )
    assert [one["signals"] for one in by_id["sessions"]][1][0]["kind"] == "back_and_forth"
    assert not by_id["is_new"]


@pytest.mark.usefixtures("filled")
def test_of_who_is_new_nothing_is_listed_as_new() -> None:
    shown = call("person", "bob").stdout
    assert "1 session on 1 day, 1 event; new here" in shown
    assert "new: " not in shown


@pytest.mark.usefixtures("filled")
def test_nobody_and_a_period_without_sessions_are_one_line() -> None:
    nobody = call("person", "nobody@example.com")
    assert nobody.returncode != 0
    assert nobody.stderr.count("\n") == 1
    assert "no enriched event of" in nobody.stderr
    empty = call("person", ANN, "--from", "2026-02-10", "--to", "2026-02-12").stdout
    assert "0 sessions on 0 days, 0 events; known since 2026-01-31" in empty


def test_an_id_in_two_projects_is_asked_about(filled: Store, rules: Rules) -> None:
    take_in(filled, rules, visit("there", NOON, "/x", person="bob"), project="second")
    both = call("person", "bob")
    assert "bob is in the projects default, second: name one" in both.stderr
    assert "/x" in call("person", "bob", "--project", "second").stdout


def test_a_model_gets_it_within_its_budget(filled: Store, rules: Rules) -> None:
    for day in range(40):
        pages = [f"/page/{chr(97 + day % 26)}{at}" for at in range(9)]
        take_in(filled, rules, visit(f"s{day}", NOON + day * DAY / 10, *pages, person=ANN))
    whole = text_of(asyncio.run(ask(filled, "person", person=ANN, max_tokens=8_000)))
    short = text_of(asyncio.run(ask(filled, "person", person=ANN, max_tokens=600)))
    assert estimate_tokens(short) <= 600 < estimate_tokens(whole)
    assert short.splitlines()[0] == whole.splitlines()[0]
    assert short.splitlines()[-1].endswith(" earlier sessions")
    wrong = asyncio.run(ask(filled, "person", person="nobody"))
    assert wrong.is_error


def test_it_is_served_over_http(filled: Store) -> None:
    settings = filled.settings.model_copy(update={"read_token": SecretStr("reader")})
    with TestClient(
        create_app(filled, settings, parts=Parts(readable=reading_routes(filled)))
    ) as client:
        assert client.get(f"/v1/people/{ANN}").status_code == 401
        client.headers["Authorization"] = "Bearer reader"
        assert client.get(f"/v1/people/{ANN}").text == call("person", ANN).stdout
        data = client.get(f"/v1/people/{ANN}", headers={"Accept": "application/json"}).json()
        assert data["person"] == json.loads(call("person", ANN, "--json").stdout)["person"]
        assert client.get("/v1/people/nobody").status_code == 404
        assert client.get(f"/v1/people/{ANN}?max_tokens=10").status_code == 400
        assert client.get(f"/v1/people/{ANN}/timeline").text.startswith("session ")
