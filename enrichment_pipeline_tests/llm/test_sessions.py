"""Asking for one session as it is now, and for the list of those that are built."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.llm.sessions import (
    SessionNotFoundError,
    cut_at_silence,
    derived_id,
    newest_timeline_of,
    timeline_of,
)
from enrichment_pipeline.llm.timelines import Timeline
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.event_search import search_events
from enrichment_pipeline.store.sessions.listing import list_sessions
from enrichment_pipeline.store.sessions.reading import (
    SessionEvent,
    events_of_session,
    events_without_session,
    newest_session,
    projects_of_session,
)
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def asked(store: Store, session_id: str, project: str | None = None) -> Timeline:
    with store.transaction() as connection:
        return timeline_of(connection, session_id, project=project)


def newest(store: Store, distinct_id: str, project: str | None = None) -> Timeline:
    with store.transaction() as connection:
        return newest_timeline_of(connection, distinct_id, project=project)


def listed(store: Store, **options: Any) -> list[str]:
    with store.transaction() as connection:
        return [session.session_id for session in list_sessions(connection, **options)]


def login(at: datetime, person: str, anonymous: str) -> bytes:
    return make_event(
        "$identify",
        at,
        distinct_id=person,
        properties={"$anon_distinct_id": anonymous, "$pathname": "/login"},
    )


def pages(timeline: Timeline) -> list[str]:
    return [entry.text for entry in timeline.entries if entry.action == "view"]


def test_a_session_is_found_by_its_id(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/", "/pricing") + visit("two", NOON, "/other"))
    timeline = asked(store, "one")
    assert (pages(timeline), timeline.events, timeline.is_open) == (["/", "/pricing"], 2, False)
    assert timeline.person.startswith("person_")
    assert "user-1" not in render(timeline, "json")


def test_late_events_change_the_answer(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/", "/c"))
    before = asked(store, "one")
    take_in(store, rules, visit("one", NOON + timedelta(seconds=5), "/b"))
    take_in(store, rules, visit("one", NOON - MINUTE, "/first"))
    after = asked(store, "one")
    assert pages(before) == ["/", "/c"]
    assert pages(after) == ["/first", "/", "/b", "/c"]
    assert after.started_at == before.started_at - 60


def test_a_session_across_midnight_is_one(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", MIDNIGHT - timedelta(seconds=15), "/", "/a", "/b"))
    assert pages(asked(store, "one")) == ["/", "/a", "/b"]


def test_a_session_that_is_going_on_says_so(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", datetime.now(UTC) - MINUTE, "/", "/a"))
    take_in(store, rules, visit("two", datetime.now(UTC) - 31 * MINUTE, "/"))
    assert asked(store, "one").is_open
    assert "still going on" in render(asked(store, "one"))
    assert not asked(store, "two").is_open


def test_two_projects_with_the_same_session_id_are_kept_apart(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("same", NOON, "/shop"), "shop")
    take_in(store, rules, visit("same", NOON, "/blog"), "blog")
    with pytest.raises(SessionNotFoundError, match="in the projects blog, shop: name one"):
        asked(store, "same")
    assert pages(asked(store, "same", "shop")) == ["/shop"]
    assert pages(asked(store, "same", "blog")) == ["/blog"]


@pytest.mark.parametrize(
    "session_id", ["none", "person_0123456789@20260302T120000Z", "two\nlines", "nul\0", "\ud800"]
)
def test_what_is_not_there_is_said_in_one_line(store: Store, session_id: str) -> None:
    for ask in (asked, newest):
        with pytest.raises(SessionNotFoundError) as caught:
            ask(store, session_id, "default")
        assert "\n" not in str(caught.value)
        assert "in project default" in str(caught.value)


def test_events_that_name_no_session_are_found_by_the_id_of_the_list(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit(None, NOON, "/a", "/b"))
    take_in(store, rules, visit(None, NOON + 60 * MINUTE, "/c"))
    build_day(store, NOON.date(), is_whole=True)
    second, first = listed(store)
    assert first.endswith("@20260302T120000Z")
    assert pages(asked(store, first)) == ["/a", "/b"]
    assert pages(asked(store, second)) == ["/c"]
    assert asked(store, first).session_id == first


def test_the_id_of_a_session_finds_it_after_a_late_event_moved_its_start(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit(None, NOON, "/a", "/b"))
    before = newest(store, "user-1").session_id
    take_in(store, rules, visit(None, NOON - 29 * MINUTE, "/late"))
    take_in(store, rules, visit(None, NOON - 58 * MINUTE, "/later"))
    after = asked(store, before)
    assert pages(after) == ["/later", "/late", "/a", "/b"]
    assert after.session_id.endswith("@20260302T110200Z")
    assert asked(store, after.session_id) == after


def test_the_id_of_a_session_finds_it_after_the_person_logged_in(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit(None, NOON, "/a", "/b", seconds=1_500, person="anonymous-7"))
    before = newest(store, "anonymous-7")
    take_in(store, rules, [login(NOON + 45 * MINUTE, "ann", "anonymous-7")])
    take_in(store, rules, visit(None, NOON + 46 * MINUTE, "/c", person="ann"))
    after = asked(store, before.session_id)
    assert pages(after) == ["/a", "/b", "/c"]
    assert after.person == newest(store, "ann").person != before.person
    assert after.session_id == f"{after.person}@20260302T120000Z"
    assert asked(store, after.session_id) == after


def test_the_id_of_a_session_finds_it_after_two_people_were_merged(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, [login(NOON - 90 * MINUTE, "ann", "device")])
    take_in(store, rules, visit(None, NOON, "/a", person="device"))
    before = newest(store, "device")
    merge = make_event(
        "$merge_dangerously",
        NOON + 90 * MINUTE,
        distinct_id="bob",
        properties={"alias": "ann", "$pathname": "/"},
    )
    take_in(store, rules, [merge])
    after = asked(store, before.session_id)
    assert (pages(after), after.person != before.person) == (["/a"], True)


def test_who_logs_in_is_one_person_from_the_beginning(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/a", person="anonymous-7"))
    before = asked(store, "one").person
    take_in(store, rules, [login(NOON + MINUTE, "ann", "anonymous-7")])
    take_in(store, rules, visit("two", NOON + 60 * MINUTE, "/b", person="ann"))
    assert asked(store, "one").person == asked(store, "two").person != before


def test_a_session_of_two_people_is_of_the_one_who_was_there_last(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/a", person="ann"))
    take_in(store, rules, visit("one", NOON + MINUTE, "/b", person="bob"))
    take_in(store, rules, visit("two", NOON, "/b", person="bob"))
    assert asked(store, "one").person == asked(store, "two").person


def test_the_newest_session_of_a_person_is_found_by_any_id(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit("one", NOON, "/a", person="anonymous-7"))
    take_in(store, rules, [login(NOON + 31 * MINUTE, "ann", "anonymous-7")])
    assert newest(store, "ann").session_id.endswith("@20260302T123100Z")
    take_in(store, rules, visit("two", NOON + 65 * MINUTE, "/b", person="ann"))
    assert newest(store, "anonymous-7").session_id == "two"
    assert newest(store, "ann").session_id == "two"


def test_events_without_a_session_id_join_the_session_that_the_person_had_then(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/a", "/b", person="anonymous-7"))
    take_in(store, rules, visit("two", NOON + 50 * MINUTE, "/c", person="ann"))
    take_in(store, rules, [login(NOON + MINUTE, "ann", "anonymous-7")])
    for minute in (-31, -30, 30, 31, 90):
        at = NOON + 10 * MINUTE / 60 + minute * MINUTE
        take_in(store, rules, visit(None, at, f"/server{minute}", person="ann"))
    take_in(store, rules, visit(None, NOON + MINUTE, "/elsewhere", person="bob"))
    assert pages(asked(store, "one")) == ["/server-30", "/a", "/b", "/server30"]
    assert pages(asked(store, "two")) == ["/server31", "/c"]
    assert pages(newest(store, "ann")) == ["/server90"]
    # What was listed as a session of its own is found, although its event has joined another.
    person = asked(store, "one").person
    was = derived_id(person, (NOON + 10 * MINUTE / 60 + 31 * MINUTE).timestamp())
    assert asked(store, was).session_id == "two"
    take_in(store, rules, visit(None, NOON + 52 * MINUTE, "/last", person="ann"))
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM enriched_event WHERE path_template = '/server90'"))
    assert pages(newest(store, "ann"))[-2:] == ["/c", "/last"]


def test_the_tab_of_an_event_is_that_of_its_window_id(store: Store, rules: Rules) -> None:
    windows = ["01a22248-5306-7160", "01a22249-2252-7351", None, 7, "01a22248-5306-7160"]
    views = [
        make_event(
            "$pageview",
            NOON + number * MINUTE / 60,
            properties={"$session_id": "one", "$pathname": f"/{number}", "$window_id": window},
        )
        for number, window in enumerate(windows)
    ]
    take_in(store, rules, views)
    marks = [(one.at, one.text) for one in asked(store, "one").entries if one.action == "tab"]
    assert marks == [(1, "now in tab 2"), (4, "now in tab 1")]


@pytest.mark.parametrize("nobody", ["anonymous", "NULL", ' "undefined" '])
def test_events_of_an_id_that_anybody_may_have_join_no_session(
    store: Store, rules: Rules, nobody: str
) -> None:
    take_in(store, rules, visit("one", NOON, "/a", person=nobody))
    take_in(store, rules, visit(None, NOON + MINUTE, "/b", person=nobody))
    assert pages(asked(store, "one")) == ["/a"]


def test_the_events_of_a_session_are_found_with_those_that_have_joined_it(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/a") + visit("two", NOON + 5 * MINUTE, "/c"))
    take_in(store, rules, visit(None, NOON + MINUTE, "/b"))
    with store.transaction() as connection:
        for session_id, expected in (("one", ["/b", "/a"]), ("two", ["/c"]), ("three", [])):
            found = search_events(
                connection, NOON - MINUTE, NOON + 60 * MINUTE, session_id=session_id
            )
            assert [one.page for one in found] == expected


def test_the_newest_session_is_of_the_project_that_is_asked(store: Store, rules: Rules) -> None:
    take_in(store, rules, visit(None, NOON, "/shop"), "shop")
    take_in(store, rules, visit("two", NOON + MINUTE, "/blog"), "blog")
    assert pages(newest(store, "user-1", "shop")) == ["/shop"]
    assert pages(newest(store, "user-1")) == ["/blog"]


def test_the_newest_session_of_another_projects_namesake_is_that_of_its_person(
    store: Store, rules: Rules
) -> None:
    """Of ids that are joined in one project, another may have each as a person of its own."""
    take_in(store, rules, [login(NOON, "ann", "device")], "shop")
    take_in(store, rules, visit(None, NOON + MINUTE, "/blog", person="device"), "blog")
    assert pages(newest(store, "ann")) == ["/blog"]


def a_moment(seconds: float) -> SessionEvent:
    return SessionEvent(seconds, "ping", "ping", None, "user-1", None)


def test_events_are_cut_after_more_than_half_an_hour_of_silence() -> None:
    events = [a_moment(seconds) for seconds in (0, 1800, 3600.1, 3601)]
    sizes = [[one.occurred_at for one in found] for found in cut_at_silence(events)]
    assert sizes == [[0, 1800], [3600.1, 3601]]
    assert list(cut_at_silence([])) == []


def test_what_goes_on_for_more_than_a_day_is_cut_at_midnight() -> None:
    day = 86_400
    exactly = [a_moment(seconds) for seconds in range(600, day + 601, 1200)]
    longer = [a_moment(seconds) for seconds in range(600, 2 * day, 1200)]
    assert [len(found) for found in cut_at_silence(exactly)] == [73]
    assert [len(found) for found in cut_at_silence(longer)] == [72, 72]


def test_a_server_that_never_falls_silent_is_found_by_any_of_its_ids(
    store: Store, rules: Rules
) -> None:
    start = MIDNIGHT - timedelta(days=1)
    take_in(store, rules, visit(None, start, *["/"] * 200, seconds=1_200, person="server"))
    person = newest(store, "server").person
    found = asked(store, derived_id(person, MIDNIGHT.timestamp()))
    assert (found.started_at, found.events) == (MIDNIGHT.timestamp(), 72)


def plan_of(store: Store, ask: Callable[[Connection], object], number: int = -1) -> str:
    """How PostgreSQL does one of the statements that `ask` runs: the last, or this one."""
    statements: list[tuple[str, Any]] = []

    def note(_c: object, _k: object, statement: str, parameters: Any, *_: object) -> None:
        statements.append((statement, parameters))

    with store.transaction() as connection:
        event.listen(connection, "before_cursor_execute", note)
        ask(connection)
        statement, parameters = statements[number]
        rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
        return "\n".join(rows.scalars())


@pytest.mark.slow
def test_events_of_a_session_are_found_by_an_index(store: Store, rules: Rules) -> None:
    for number in range(20):
        take_in(store, rules, visit(f"session-{number}", NOON, *["/"] * 40))
        take_in(store, rules, visit(None, NOON, *["/"] * 40, person=f"server-{number}"))
    with store.transaction() as connection:
        connection.execute(text("ANALYZE enriched_event"))
    asks: list[tuple[Callable[[Connection], object], str]] = [
        (lambda asking: events_of_session(asking, "default", "session-7"), "distinct_id"),
        (lambda asking: projects_of_session(asking, "session-7"), "session_id_occurred"),
        (
            lambda asking: events_without_session(
                asking, "default", ["server-7"], NOON, NOON + 60 * MINUTE
            ),
            "distinct_id",
        ),
        (lambda asking: newest_session(asking, None, ["nobody", "nobody either"]), "distinct_id"),
    ]
    first = plan_of(store, lambda asking: events_of_session(asking, "default", "session-7"), 0)
    assert "session_id_occurred_" in first
    for ask, index in asks:
        plan = plan_of(store, ask)
        # Of `person`, which has two rows, all is read where PostgreSQL has looked at it meanwhile.
        assert "Seq Scan on enriched_event" not in plan
        assert f"{index}_" in plan


@pytest.mark.slow
def test_the_newest_session_is_found_however_much_others_did_since(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/a", person="ann"))
    take_in(store, rules, visit("two", NOON + MINUTE, *["/"] * 5_100, seconds=0, person="bot"))
    assert newest(store, "ann").session_id == "one"
    assert newest(store, "bot").session_id == "two"


def keep(store: Store, session_id: str, **fields: Any) -> None:
    row = {
        "project": "default",
        "session_id": session_id,
        "day": NOON.date(),
        "distinct_id": "user-1",
        "started_at": NOON,
        "ended_at": fields.get("started_at", NOON) + 5 * MINUTE,
        "events": 2,
        "pages": 1,
        "entry": "/",
        "exit": "/",
        "outline": "/",
        "signals": [],
        "timeline": f"session {session_id}",
        **fields,
    }
    statement = f"INSERT INTO session_timeline ({', '.join(row)}) VALUES (:{', :'.join(row)})"
    with store.transaction() as connection:
        connection.execute(text(statement), row)


def test_the_list_shows_the_newest_first_page_by_page(store: Store) -> None:
    for number in range(5):
        keep(store, f"s{number}", started_at=NOON + number * MINUTE)
    assert listed(store) == ["s4", "s3", "s2", "s1", "s0"]
    assert listed(store, limit=2) == ["s4", "s3"]
    assert listed(store, limit=2, offset=4) == ["s0"]
    assert listed(store, offset=5) == []


def test_the_list_is_cut_down_by_project_and_signal(store: Store) -> None:
    keep(store, "one", signals=["error", "rage_click"])
    keep(store, "two", project="shop", signals=["error"])
    keep(store, "three")
    assert sorted(listed(store, signal="error")) == ["one", "two"]
    assert listed(store, signal="rage_click") == ["one"]
    assert listed(store, project="shop") == ["two"]
    assert listed(store, project="shop", signal="rage_click") == []


@pytest.mark.parametrize(
    ("contains", "found"),
    [
        ("pricing", ["plain"]),
        ("PRICING", ["plain"]),
        ("100%", ["percent"]),
        ("a_b", ["underscore"]),
        ("c\\d", ["backslash"]),
        ("%", ["percent"]),
        ("_", ["underscore"]),
        ("'; --", []),
    ],
)
def test_what_a_session_contains_is_taken_literally(
    store: Store, contains: str, found: list[str]
) -> None:
    keep(store, "plain", timeline="0 view /Pricing")
    keep(store, "percent", timeline="0 click 100%")
    keep(store, "underscore", timeline="0 event a_b")
    keep(store, "other", timeline="0 event axb")
    keep(store, "backslash", timeline="0 event c\\d")
    assert listed(store, contains=contains) == found


@pytest.mark.parametrize(
    ("start", "end", "is_found"),
    [
        (None, None, True),
        (NOON, None, True),
        (NOON + 5 * MINUTE, None, True),
        (NOON + 6 * MINUTE, None, False),
        (None, NOON, False),
        (None, NOON + timedelta(seconds=1), True),
        (NOON - MINUTE, NOON + MINUTE, True),
    ],
)
def test_the_list_is_of_what_happened_in_a_time(
    store: Store, start: datetime | None, end: datetime | None, is_found: bool
) -> None:
    keep(store, "one")
    assert listed(store, start=start, end=end) == (["one"] if is_found else [])


@pytest.mark.parametrize("hours", [-12, 0, 14])
def test_the_time_of_the_list_may_be_given_in_any_zone(store: Store, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    keep(store, "early", day=date(2026, 3, 2), started_at=MIDNIGHT + MINUTE)
    keep(store, "late", day=date(2026, 3, 2), started_at=MIDNIGHT + timedelta(hours=23.5))
    end = (MIDNIGHT + timedelta(minutes=2)).astimezone(zone)
    assert listed(store, end=end) == ["early"]
    start = (MIDNIGHT + timedelta(hours=23)).astimezone(zone)
    assert listed(store, start=start) == ["late"]


def test_a_session_of_days_is_in_the_list_of_its_last(store: Store) -> None:
    keep(store, "long", ended_at=NOON + timedelta(days=3))
    assert listed(store, start=NOON + timedelta(days=2, hours=12)) == ["long"]


def test_the_list_knows_people_by_pseudonym_and_by_any_id_after_they_were_joined(
    store: Store, rules: Rules
) -> None:
    take_in(store, rules, visit("one", NOON, "/a", person="anonymous-7"))
    take_in(store, rules, visit("other", NOON, "/a", person="bob"))
    build_day(store, NOON.date(), is_whole=True)
    before = asked(store, "one").person
    assert listed(store, person=before) == listed(store, person="anonymous-7") == ["one"]
    # As who logs in elsewhere: the table of sessions is not built again.
    take_in(store, rules, [login(NOON - timedelta(days=1), "ann", "anonymous-7")])
    now = asked(store, "one").person
    for person in (now, "ann", "anonymous-7"):
        assert listed(store, person=person) == ["one"]
    with store.transaction() as connection:
        [row] = list_sessions(connection, person="ann")
        assert row.person_handle == now
        assert [one.handle for one in list_sessions(connection, person=row.person)] == [row.handle]


def test_an_id_that_only_looks_like_a_pseudonym_is_an_id(store: Store) -> None:
    keep(store, "one", distinct_id="person_42")
    assert listed(store, person="person_42") == ["one"]
