"""Short names of sessions and people, `s12` and `p3`: what they name, and where they are shown."""

import asyncio
import json
from datetime import timedelta

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.mcp_asking import NOON, ask, text_of
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit

MINUTES = timedelta(minutes=1)


@pytest.fixture
def built(store: Store, rules: Rules) -> Store:
    """Three sessions of two people, in the order of time; one has no session id."""
    take_in(
        store,
        rules,
        [
            *visit("0199-b", NOON, "/", "/a", person="ann"),
            *visit("0199-a", NOON + 5 * MINUTES, "/b", person="bob"),
            *visit(None, NOON + 90 * MINUTES, "/c", person="ann"),
        ],
    )
    build_day(store, NOON.date(), is_whole=True)
    return store


def handles() -> dict[str, tuple[str, str]]:
    """The handles of session and person, by session id."""
    listed = json.loads(call("sessions", "list", "--json").stdout)
    return {one["session_id"]: (one["handle"], one["person_handle"]) for one in listed}


@pytest.mark.usefixtures("built")
def test_sessions_are_numbered_in_the_order_of_time_and_people_by_their_first() -> None:
    found = handles()
    assert found["0199-b"] == ("s1", "p1")
    assert found["0199-a"] == ("s2", "p2")
    assert found.keys() > {"0199-a", "0199-b"}
    assert ("s3", "p1") in found.values()


def test_a_number_stays_however_often_a_session_is_built(built: Store, rules: Rules) -> None:
    before = handles()
    take_in(built, rules, visit("0199-b", NOON + 2 * MINUTES, "/late", person="ann"))
    take_in(built, rules, visit("0199-c", NOON + 3 * MINUTES, "/new", person="eve"))
    for is_whole in (False, True):
        build_day(built, NOON.date(), is_whole=is_whole)
    assert handles() == before | {"0199-c": ("s4", "p4")}


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("handle", ["s1", "s2", "s3"])
def test_a_session_is_read_by_its_handle(handle: str) -> None:
    [session_id] = [one for one, (session, _) in handles().items() if session == handle]
    shown = call("timeline", handle).stdout
    assert shown == call("timeline", session_id).stdout
    assert shown.startswith(f"session {handle}, p")
    as_json = json.loads(call("timeline", handle, "--json").stdout)
    assert (as_json["session"], as_json["session_id"]) == (handle, session_id)


@pytest.mark.usefixtures("built")
def test_what_no_session_has_is_one_line() -> None:
    for wrong in ("s99", "s0", "p1", "s99999999999999999999"):
        assert f"no session {wrong}" in call("timeline", wrong).stderr


@pytest.mark.usefixtures("built")
def test_people_are_found_by_their_handles() -> None:
    listed = json.loads(call("sessions", "list", "--person", "p1", "--json").stdout)
    assert [one["handle"] for one in listed] == ["s3", "s1"]
    assert call("person", "p2").stdout.startswith("p2, ")
    by_a_later_session = json.loads(call("sessions", "list", "--person", "p3", "--json").stdout)
    assert by_a_later_session == listed


def test_people_who_turn_out_to_be_one_have_the_first_name(built: Store, rules: Rules) -> None:
    login = make_event(
        "$identify", NOON + 6 * MINUTES, distinct_id="bob", properties={"$anon_distinct_id": "ann"}
    )
    take_in(built, rules, [login])
    assert {person for _, person in handles().values()} == {"p1"}
    assert call("person", "p2").stdout == call("person", "p1").stdout


def test_a_model_sees_and_uses_handles_alone(built: Store) -> None:
    listed = text_of(asyncio.run(ask(built, "list_sessions")))
    assert "\ns2|" in listed
    assert "|p2|" in listed
    assert "0199" not in listed
    assert "person_" not in listed
    found = text_of(asyncio.run(ask(built, "search_events", session_id="s2")))
    assert "|p2|" in found
    assert found.endswith("|s2")
    of_person = text_of(asyncio.run(ask(built, "search_events", person="p1")))
    assert of_person.count("|p1|") == 3
    timeline = text_of(asyncio.run(ask(built, "get_timeline", session_id="s1")))
    assert timeline.startswith("session s1, p1,")


def test_a_site_whose_own_ids_look_like_handles_keeps_to_its_ids(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("s2", NOON, "/first", person="ann"))
    take_in(store, rules, visit("s1", NOON + MINUTES, "/second", person="bob"))
    build_day(store, NOON.date(), is_whole=True)
    assert "/first" in call("timeline", "s2").stdout
    assert "/second" in call("timeline", "s1").stdout
    assert {session for session, _ in handles().values()} == {None}


def test_a_session_that_is_not_built_is_shown_by_its_id(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("0199-b", NOON, "/", person="ann"))
    assert call("timeline", "0199-b").stdout.startswith("session 0199-b, person_")
