"""All sessions of a day, in the table: what is built, when again, and what is left."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.people import People
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.llm.sessions import timeline_of
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.lifecycle.forget import forget_events
from enrichment_pipeline.store.queue.changes import append_changes, changed_days
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import sessions_of, take_in, visit

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)


def login(at: datetime, person: str, other: str) -> bytes:
    properties = {"$anon_distinct_id": other, "$pathname": "/login"}
    return make_event("$identify", at, distinct_id=person, properties=properties)


def due(store: Store) -> list[date]:
    with store.transaction() as connection:
        return [changed.day for changed in changed_days(connection)]


def test_the_sessions_of_a_day_are_built(store: Store, rules: Rules) -> None:
    events = visit("one", NOON, "/", "/pricing") + visit("two", NOON, "/", person="user-2")
    take_in(store, rules, events)
    report = build_day(store, DAY, is_whole=False)
    assert sessions_of(store) == {
        "one": ("2026-03-02", 2, "/ → /pricing"),
        "two": ("2026-03-02", 1, "/"),
    }
    assert (report.sessions, report.events, report.is_whole) == (2, 3, False)


def test_a_day_is_due_until_what_it_holds_is_built(store: Store, rules: Rules) -> None:
    assert due(store) == []
    take_in(store, rules, visit("one", NOON, "/"))
    assert due(store) == [DAY]
    build_day(store, DAY, is_whole=False)
    assert due(store) == []
    take_in(store, rules, visit("two", NOON, "/"))
    assert due(store) == [DAY]


def test_a_day_that_came_out_otherwise_is_due_and_built_whole(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/"))
    build_day(store, DAY, is_whole=False)
    with store.transaction() as connection:
        connection.execute(text("UPDATE enriched_event SET description = 'Viewed /other'"))
        append_changes(connection, [NOON])
    assert due(store) == [DAY]
    assert build_day(store, DAY, is_whole=False).is_whole
    with store.transaction() as connection:
        timeline = connection.execute(text("SELECT timeline FROM session_timeline")).scalar_one()
    assert "/other" in timeline
    assert due(store) == []


def test_only_the_sessions_that_events_have_come_to_are_built_again(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/") + visit("two", NOON, "/"))
    build_day(store, DAY, is_whole=False)
    take_in(store, rules, visit("two", NOON + timedelta(minutes=1), "/late"))
    report = build_day(store, DAY, is_whole=False)
    assert (report.sessions, report.is_whole) == (1, False)
    assert sessions_of(store)["two"] == ("2026-03-02", 2, "/ → /late")


@pytest.mark.parametrize("first_built", [DAY, DAY - timedelta(days=1)])
def test_a_session_across_midnight_is_one_of_the_day_on_which_it_began(
    store: Store, rules: Rules, first_built: date
) -> None:
    events = visit("one", MIDNIGHT - timedelta(seconds=15), "/", "/a", "/b")
    take_in(store, rules, events)
    build_day(store, first_built, is_whole=True)
    assert sessions_of(store) == {"one": ("2026-03-01", 3, "/ → /a → /b")}


@pytest.mark.parametrize("name_sessions", [True, False])
def test_events_in_any_order_and_any_number_of_loads_build_the_same(
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
        build_day(store, DAY, is_whole=False)
    step_by_step = sessions_of(store)
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM session_timeline"))
    build_day(store, DAY, is_whole=True)
    assert sessions_of(store) == step_by_step
    assert {outline for _, _, outline in step_by_step.values()} == {"/ → /a → /b"}
    assert len(step_by_step) == 6


def test_events_that_name_no_session_are_cut_at_half_an_hour_of_silence(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit(None, NOON, "/a", "/b", seconds=1799))
    take_in(store, rules, visit(None, NOON + timedelta(minutes=61), "/c"))
    build_day(store, DAY, is_whole=False)
    assert sorted(outline for _, _, outline in sessions_of(store).values()) == ["/a → /b", "/c"]


def test_a_late_event_joins_two_sessions_that_were_built_apart(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit(None, NOON, "/a", "/b", seconds=2_400))
    build_day(store, DAY, is_whole=False)
    assert len(sessions_of(store)) == 2
    take_in(store, rules, visit(None, NOON + timedelta(minutes=20), "/between"))
    build_day(store, DAY, is_whole=False)
    [(_, events, outline)] = sessions_of(store).values()
    assert (events, outline) == (3, "/a → /between → /b")


def test_a_login_joins_what_was_built_of_two_ids(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit(None, NOON, "/a", person="anonymous-7"))
    build_day(store, DAY, is_whole=False)
    identify = login(NOON + timedelta(minutes=1), "ann", "anonymous-7")
    take_in(store, rules, [identify, *visit(None, NOON + timedelta(minutes=2), "/b", person="ann")])
    build_day(store, DAY, is_whole=False)
    [(_, events, outline)] = sessions_of(store).values()
    assert (events, outline) == (3, "/a → /b")


def test_what_a_server_reports_joins_the_session_that_is_built(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit(None, NOON + timedelta(minutes=5), "/order"))
    build_day(store, DAY, is_whole=False)
    [name] = sessions_of(store)
    take_in(store, rules, visit("one", NOON, "/a"))
    build_day(store, DAY, is_whole=False)
    assert sessions_of(store) == {"one": ("2026-03-02", 2, "/a → /order")}, name
    take_in(store, rules, visit("two", NOON + timedelta(minutes=4), "/b"))
    build_day(store, DAY, is_whole=False)
    assert sessions_of(store) == {
        "one": ("2026-03-02", 1, "/a"),
        "two": ("2026-03-02", 2, "/b → /order"),
    }


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("minutes", [-10, 10])
def test_what_a_server_reports_joins_a_session_on_the_other_side_of_midnight(
    store: Store, rules: Rules, minutes: int, is_whole: bool
) -> None:
    take_in(store, rules, visit("one", MIDNIGHT + timedelta(minutes=minutes), "/a"))
    take_in(store, rules, visit(None, MIDNIGHT - timedelta(minutes=minutes), "/order"))
    outline = "/order → /a" if minutes > 0 else "/a → /order"
    for day in (DAY, DAY - timedelta(days=1)):
        build_day(store, day, is_whole=is_whole)
        assert sessions_of(store) == {"one": ("2026-03-01", 2, outline)}


@pytest.mark.slow
def test_the_table_has_what_each_session_shows_whatever_events_lack_a_session_id(
    store: Store, rules: Rules
) -> None:
    rng = random.Random(11)
    start = MIDNIGHT + timedelta(hours=21)
    take_in(store, rules, [login(start, "ann", "anonymous-7")])
    for _ in range(30):
        at = start + timedelta(minutes=rng.randrange(360))
        session = rng.choice(["one", "two", "three", None, None])
        person = rng.choice(["ann", "anonymous-7", "bob"])
        take_in(store, rules, visit(session, at, f"/{rng.choice('abcd')}", person=person))
        for day in (DAY, DAY + timedelta(days=1)):
            build_day(store, day, is_whole=rng.random() < 0.2)
    built = sessions_of(store)
    with store.transaction() as connection:
        now = {name: timeline_of(connection, name) for name in built}
    assert {name: (events, outline) for name, (_, events, outline) in built.items()} == {
        name: (timeline.events, timeline.outline) for name, timeline in now.items()
    }
    assert all(name == timeline.session_id for name, timeline in now.items())
    with store.transaction() as connection:
        count = connection.execute(text("SELECT count(*) FROM enriched_event")).scalar_one()
    assert sum(events for _, events, _ in built.values()) == count


def test_a_session_whose_events_are_gone_goes_when_its_day_is_built_whole(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/") + visit("two", NOON, "/"))
    build_day(store, DAY, is_whole=True)
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM enriched_event WHERE session_id = 'two'"))
    build_day(store, DAY, is_whole=True)
    assert list(sessions_of(store)) == ["one"]


def test_a_server_that_never_falls_silent_is_cut_at_midnight(store: Store, rules: Rules) -> None:
    start = MIDNIGHT - timedelta(days=1)
    take_in(store, rules, visit(None, start, *["/"] * 140, seconds=1_200, person="server"))
    build_day(store, DAY, is_whole=True)
    assert ("2026-03-02", 68, "/") in sessions_of(store).values()


def test_who_is_forgotten_is_in_no_session_and_what_others_did_is_built_again(
    store: Store, rules: Rules
) -> None:
    identify = make_event(
        "$identify", NOON, distinct_id="ann", properties={"$anon_distinct_id": "anonymous-7"}
    )
    take_in(store, rules, [identify, *visit("mine", NOON, "/a", person="ann")])
    take_in(store, rules, visit("shared", NOON, "/b", person="ann"))
    take_in(store, rules, visit("shared", NOON + timedelta(minutes=1), "/c", person="bob"))
    take_in(store, rules, visit("his", NOON, "/d", person="bob"))
    build_day(store, DAY, is_whole=True)
    before = sessions_of(store)
    forget_events(store, People(["ann"]), dry_run=True)
    assert sessions_of(store) == before
    forget_events(store, People(["ann"]))
    assert set(sessions_of(store)) == {"his"}
    assert due(store) == [DAY]
    build_day(store, DAY, is_whole=False)
    assert {name: outline for name, (_, _, outline) in sessions_of(store).items()} == {
        "his": "/d",
        "shared": "/c",
    }
    with store.transaction() as connection:
        left = connection.execute(text("SELECT distinct_id FROM person")).scalars().all()
    assert left == ["anonymous-7"]
