"""All sessions of a day, in the table: what is told, when it is told anew, and what is left."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.people import People
from enrichment_pipeline.llm.session_days import tell_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.lifecycle.forget import forget_events
from enrichment_pipeline.store.queue.changes import append_changes, changed_days
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.telling import take_in, told, visit

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def due(store: Store) -> list[date]:
    with store.transaction() as connection:
        return [changed.day for changed in changed_days(connection)]


def test_the_sessions_of_a_day_are_told(store: Store, rules: Rules) -> None:
    events = visit("one", NOON, "/", "/pricing") + visit("two", NOON, "/", person="user-2")
    take_in(store, rules, events)
    report = tell_day(store, DAY, is_whole=False)
    assert told(store) == {"one": ("2026-03-02", 2, "/ → /pricing"), "two": ("2026-03-02", 1, "/")}
    assert (report.sessions, report.events, report.is_whole) == (2, 3, False)


def test_a_day_is_due_until_what_it_holds_is_told(store: Store, rules: Rules) -> None:
    assert due(store) == []
    take_in(store, rules, visit("one", NOON, "/"))
    assert due(store) == [DAY]
    tell_day(store, DAY, is_whole=False)
    assert due(store) == []
    take_in(store, rules, visit("two", NOON, "/"))
    assert due(store) == [DAY]


def test_a_day_that_came_out_otherwise_is_due_and_told_whole(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/"))
    tell_day(store, DAY, is_whole=False)
    with store.transaction() as connection:
        connection.execute(text("UPDATE enriched_event SET description = 'Viewed /other'"))
        append_changes(connection, [NOON])
    assert due(store) == [DAY]
    assert tell_day(store, DAY, is_whole=False).is_whole
    with store.transaction() as connection:
        timeline = connection.execute(text("SELECT timeline FROM session_timeline")).scalar_one()
    assert "/other" in timeline
    assert due(store) == []


def test_only_the_sessions_that_events_have_come_to_are_told_again(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/") + visit("two", NOON, "/"))
    tell_day(store, DAY, is_whole=False)
    take_in(store, rules, visit("two", NOON + timedelta(minutes=1), "/late"))
    report = tell_day(store, DAY, is_whole=False)
    assert (report.sessions, report.is_whole) == (1, False)
    assert told(store)["two"] == ("2026-03-02", 2, "/ → /late")


@pytest.mark.parametrize("first_told", [DAY, DAY - timedelta(days=1)])
def test_a_session_across_midnight_is_one_of_the_day_on_which_it_began(
    store: Store, rules: Rules, first_told: date
) -> None:
    events = visit("one", MIDNIGHT - timedelta(seconds=15), "/", "/a", "/b")
    take_in(store, rules, events)
    tell_day(store, first_told, is_whole=True)
    assert told(store) == {"one": ("2026-03-01", 3, "/ → /a → /b")}


@pytest.mark.parametrize("name_sessions", [True, False])
def test_events_in_any_order_and_any_number_of_loads_tell_the_same(
    store: Store, rules: Rules, name_sessions: bool
) -> None:
    rng = random.Random(7)
    events = [
        event
        for number in range(6)
        for event in visit(
            f"session-{number}" if name_sessions else None,
            NOON + timedelta(hours=number),
            "/",
            "/a",
            "/b",
            person=f"user-{number % 2}",
        )
    ]
    rng.shuffle(events)
    for first in range(0, len(events), 4):
        take_in(store, rules, events[first : first + 4])
        tell_day(store, DAY, is_whole=False)
    step_by_step = told(store)
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM session_timeline"))
    tell_day(store, DAY, is_whole=True)
    assert told(store) == step_by_step
    assert {outline for _, _, outline in step_by_step.values()} == {"/ → /a → /b"}
    assert len(step_by_step) == 6


def test_events_that_name_no_session_are_cut_at_half_an_hour_of_silence(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit(None, NOON, "/a", "/b", seconds=1799))
    take_in(store, rules, visit(None, NOON + timedelta(minutes=61), "/c"))
    tell_day(store, DAY, is_whole=False)
    assert sorted(outline for _, _, outline in told(store).values()) == ["/a → /b", "/c"]


def test_a_late_event_joins_two_sessions_that_were_told_apart(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit(None, NOON, "/a", "/b", seconds=2_400))
    tell_day(store, DAY, is_whole=False)
    assert len(told(store)) == 2
    take_in(store, rules, visit(None, NOON + timedelta(minutes=20), "/between"))
    tell_day(store, DAY, is_whole=False)
    [(_, events, outline)] = told(store).values()
    assert (events, outline) == (3, "/a → /between → /b")


def test_a_login_joins_what_was_told_of_two_ids(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit(None, NOON, "/a", person="anonymous-7"))
    tell_day(store, DAY, is_whole=False)
    identify = make_event(
        "$identify",
        NOON + timedelta(minutes=1),
        distinct_id="ann",
        properties={"$anon_distinct_id": "anonymous-7", "$pathname": "/login"},
    )
    take_in(store, rules, [identify, *visit(None, NOON + timedelta(minutes=2), "/b", person="ann")])
    tell_day(store, DAY, is_whole=False)
    [(_, events, outline)] = told(store).values()
    assert (events, outline) == (3, "/a → /b")


def test_a_session_whose_events_are_gone_goes_when_its_day_is_told_whole(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/") + visit("two", NOON, "/"))
    tell_day(store, DAY, is_whole=True)
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM enriched_event WHERE session_id = 'two'"))
    tell_day(store, DAY, is_whole=True)
    assert list(told(store)) == ["one"]


def test_a_server_that_never_falls_silent_is_cut_at_midnight(store: Store, rules: Rules) -> None:
    start = MIDNIGHT - timedelta(days=1)
    take_in(store, rules, visit(None, start, *["/"] * 140, seconds=1_200, person="server"))
    tell_day(store, DAY, is_whole=True)
    assert ("2026-03-02", 68, "/") in told(store).values()


def test_who_is_forgotten_is_in_no_session_and_what_others_did_is_told_anew(
    store: Store, rules: Rules
) -> None:
    identify = make_event(
        "$identify", NOON, distinct_id="ann", properties={"$anon_distinct_id": "anonymous-7"}
    )
    take_in(store, rules, [identify, *visit("mine", NOON, "/a", person="ann")])
    take_in(store, rules, visit("shared", NOON, "/b", person="ann"))
    take_in(store, rules, visit("shared", NOON + timedelta(minutes=1), "/c", person="bob"))
    take_in(store, rules, visit("his", NOON, "/d", person="bob"))
    tell_day(store, DAY, is_whole=True)
    before = told(store)
    forget_events(store, People(["ann"]), dry_run=True)
    assert told(store) == before
    forget_events(store, People(["ann"]))
    assert set(told(store)) == {"his"}
    assert due(store) == [DAY]
    tell_day(store, DAY, is_whole=False)
    assert {name: outline for name, (_, _, outline) in told(store).items()} == {
        "his": "/d",
        "shared": "/c",
    }
    with store.transaction() as connection:
        left = connection.execute(text("SELECT distinct_id FROM person")).scalars().all()
    assert left == ["anonymous-7"]
