"""Two people in one session, on a device on which nobody logs out."""

from datetime import UTC, datetime, timedelta

import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.people import People
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.llm.sessions import timeline_of
from enrichment_pipeline.llm.timelines import Timeline
from enrichment_pipeline.llm.whose import ids_in_doubt, other_people
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.lifecycle.forget import forget_events
from enrichment_pipeline.store.sessions.listing import list_sessions
from enrichment_pipeline.store.sessions.reading import SessionEvent
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.made_sessions import START, view
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in, visit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def by(who: str, at: float, event: str = "$pageview") -> SessionEvent:
    return view(at)._replace(distinct_id=who, event=event)


def arrivals(events: list[SessionEvent], people: dict[str, str]) -> list[tuple[float, str]]:
    return [(at - START, before) for at, before in other_people(events, people)]


@pytest.mark.parametrize(
    ("events", "is_in_doubt"),
    [
        ([by("ann", 0), by("ann", 1)], False),
        ([by("device", 0), by("ann", 1, "$identify"), by("ann", 2)], False),
        ([by("ann", 0), by("bob", 1)], True),
        ([by("device", 0), by("ann", 1, "$identify"), by("bob", 2)], True),
        ([by("device", 0), by("ann", 1, "$identify"), by("bob", 2, "$identify")], True),
        ([by("ann", 0, "$identify"), by("bob", 1, "$identify")], True),
    ],
    ids=["one", "login", "two", "then another", "another login", "two logins"],
)
def test_whether_there_may_be_several_people(events: list[SessionEvent], is_in_doubt: bool) -> None:
    assert bool(ids_in_doubt(events)) == is_in_doubt


def test_another_person_begins_after_somebody_who_was_identified() -> None:
    people = {"device": "A", "ann": "A"}
    events = [by("device", 0), by("ann", 1), by("bob", 2), by("bob", 3)]
    assert arrivals(events, people) == [(2, "ann")]
    assert arrivals(events, people | {"bob": "B"}) == [(2, "ann")]
    back = [*events, by("ann", 4)]
    assert arrivals(back, people | {"bob": "B"}) == [(2, "ann"), (4, "bob")]


@pytest.mark.parametrize(
    ("events", "people"),
    [
        ([by("device", 0), by("ann", 1)], {"device": "A", "ann": "A"}),
        ([by("device", 0), by("ann", 1)], {"ann": "A"}),
        ([by("device", 0), by("ann", 1)], {}),
        ([by("ann", 0), by("anonymous", 1), by("ann", 2)], {"ann": "A"}),
        ([by("ann", 0), by("server", 1), by("ann", 2), by("server", 3)], {"ann": "A"}),
    ],
    ids=["joined", "not known before", "nobody known", "an id of nobody", "a server beside"],
)
def test_the_same_person_is_no_other(events: list[SessionEvent], people: dict[str, str]) -> None:
    others = [one for one in arrivals(events, people) if one[0] < 3]
    assert others == []


def login(at: datetime, who: str, device: str, session: str) -> bytes:
    properties = {"$anon_distinct_id": device, NAME: session, "$pathname": "/login"}
    return make_event("$identify", at, distinct_id=who, properties=properties)


def shared(store: Store, rules: Rules) -> None:
    """Ann logs in, and Bob goes on; he was identified on another device before."""
    take_in(store, rules, [login(NOON - timedelta(days=3), "bob", "phone", "earlier")])
    take_in(
        store,
        rules,
        [
            *visit("one", NOON, "/", person="device"),
            login(NOON + MINUTE / 2, "ann", "device", "one"),
            *visit("one", NOON + MINUTE, "/a", person="ann"),
            *visit("one", NOON + 2 * MINUTE, "/b", "/c", person="bob"),
        ],
    )


def asked(store: Store) -> Timeline:
    with store.transaction() as connection:
        return timeline_of(connection, "one")


def found(store: Store, who: str) -> list[str]:
    with store.transaction() as connection:
        return [row.session_id for row in list_sessions(connection, person=who)]


def test_a_line_says_that_another_person_begins(store: Store, rules: Rules) -> None:
    shared(store, rules)
    timeline = asked(store)
    assert [entry.action for entry in timeline.entries if entry.action != "idle"] == [
        *("view", "identify", "view", "person", "view", "view"),
    ]
    assert "\n120 person now another person\n120 view /b\n" in render(timeline)
    build_day(store, NOON.date(), is_whole=True)
    with store.transaction() as connection:
        assert [row.session_id for row in list_sessions(connection, contains="now another")] == [
            "one"
        ]


def test_both_people_are_found_by_any_id_and_by_pseudonym(store: Store, rules: Rules) -> None:
    shared(store, rules)
    build_day(store, NOON.date(), is_whole=True)
    take_in(store, rules, visit("other", NOON, "/x", person="ann"))
    take_in(store, rules, visit("his", NOON, "/x", person="bob"))
    build_day(store, NOON.date(), is_whole=True)
    for who in ("ann", "device"):
        assert sorted(found(store, who)) == ["one", "other"]
    for who in ("bob", "phone"):
        assert sorted(found(store, who)) == ["his", "one"]
    with store.transaction() as connection:
        rows = {row.session_id: row.person for row in list_sessions(connection)}
    assert sorted(found(store, rows["other"])) == ["one", "other"]
    assert sorted(found(store, rows["his"])) == ["his", "one"]
    assert rows["one"] == rows["his"]


def test_who_is_forgotten_is_no_other_person_of_a_session(store: Store, rules: Rules) -> None:
    shared(store, rules)
    build_day(store, NOON.date(), is_whole=True)
    forget_events(store, People(["ann", "device"]))
    assert found(store, "ann") == []
    build_day(store, NOON.date(), is_whole=False)
    assert found(store, "ann") == []
    assert found(store, "bob") == ["one"]
    assert all(entry.action != "person" for entry in asked(store).entries)
