"""Taking events in: once, durable, and one bad one costs one."""

import json
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, text
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.people import People
from enrichment_pipeline.events.raw_event import (
    Arrival,
    RawEvent,
    RejectedEvent,
    RejectionReason,
    parse_event,
)
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.partitions import drop_partition
from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline.store.ingest import load
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.lifecycle.forget import forget_events
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import HOUR, make_event, raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
UUID = "01a2074a-16f5-75be-ae39-7a682b08770e"
ORDER = "5f0d7a3e-1c52-4a0e-9f0c-6a0d6c1e2b3f"
YEAR = timedelta(days=365)


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


def rejected(payload: bytes = b"broken", at: datetime = NOON) -> RejectedEvent:
    return RejectedEvent("default", RejectionReason.INVALID_JSON, "not JSON", payload, at)


@pytest.mark.parametrize("later", [timedelta(0), HOUR, timedelta(days=1), -timedelta(days=40)])
def test_the_same_uuid_is_one_event_whenever_it_comes_again(store: Store, later: timedelta) -> None:
    first = parse_event(make_event(at=NOON, uuid=UUID), "default", Arrival(NOON))
    again = parse_event(make_event(at=NOON + later, uuid=UUID), "default", Arrival(NOON))
    assert load_events(store, [first], [], "test").accepted == 1
    result = load_events(store, [again], [], "test")
    assert (result.accepted, result.duplicates) == (0, 1)
    assert rows(store, "SELECT occurred_at FROM raw_event") == [(NOON,)]
    assert len(rows(store, "SELECT id FROM raw_batch")) == 1


def one(name: str, person: str, **fields: Any) -> RawEvent:
    payload = make_event(name, NOON, uuid=UUID, distinct_id=person, **fields)
    return parse_event(payload, "default", Arrival(NOON))


def test_the_same_event_twice_in_one_load_is_one_event_and_the_first_wins(store: Store) -> None:
    events = [one("same", "ann", properties={"n": n}) for n in (1, 2)]
    result = load_events(store, events, [], "test")
    assert (result.accepted, result.duplicates) == (1, 1)
    assert rows(store, "SELECT properties FROM raw_event") == [({"n": 1},)]


DIFFERENT = (("a", "ann"), ("b", "ann"), ("a", "bob"), ("c", "bob"))


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
@pytest.mark.slow
def test_events_that_share_a_uuid_are_all_taken_once_in_whatever_order_they_come_again(
    store: Store, rules: Rules, order: tuple[int, ...], size: int
) -> None:
    def load(numbers: Sequence[int]) -> tuple[int, int]:
        results = [
            load_events(store, [one(*DIFFERENT[n]) for n in numbers[at : at + size]], [], "test")
            for at in range(0, len(numbers), size)
        ]
        return sum(r.accepted for r in results), sum(r.duplicates for r in results)

    assert load(order) == (4, 0)
    for again in (order, order[::-1], (0, 0, 1, 1, 2, 2, 3, 3)):
        assert load(again) == (0, len(again))
    found = "SELECT event, distinct_id FROM {} ORDER BY 2, 1"
    assert rows(store, found.format("raw_event")) == sorted(DIFFERENT, key=lambda one: one[::-1])
    [(first,)] = rows(store, f"SELECT event FROM raw_event WHERE uuid = '{UUID}'")
    assert first == DIFFERENT[order[0]][0], "the first keeps its uuid"
    payloads = [decompress(row.payload) for row in rows(store, "SELECT payload FROM raw_event")]
    assert all(json.loads(payload)["uuid"] == UUID for payload in payloads)
    enrich_due(store, rules)
    assert rows(store, found.format("enriched_event")) == rows(store, found.format("raw_event"))
    with store.transaction() as connection:
        assert books(connection)[0][1:] == (4, 4, 0, 0)
        assert counted_books(connection, [NOON], HOUR) == books(connection)


def at(days: float, *, by_a_clock_ahead: timedelta = timedelta(0), uuid: str = ORDER) -> RawEvent:
    moment = NOON + timedelta(days=days)
    arrival = Arrival(moment + HOUR, moment + HOUR + by_a_clock_ahead)
    payload = make_event("renewed", moment + by_a_clock_ahead, uuid=uuid)
    return parse_event(payload, "default", arrival)


def test_the_same_uuid_name_and_person_on_another_day_is_another_event(store: Store) -> None:
    # Whoever takes the id of an order or of a subscription for the uuid of its events.
    events = [at(0), at(30), at(60)]
    for order in (events, events[::-1], [events[0], *events]):
        load_events(store, order, [], "test")
    found = rows(store, "SELECT occurred_at FROM raw_event ORDER BY 1")
    assert found == [(event.occurred_at,) for event in events]


@pytest.mark.parametrize(
    "again",
    [
        at(0.9),
        # Its clock was a year ahead, and is set right before the event is sent again.
        parse_event(
            make_event("renewed", NOON + YEAR, uuid=ORDER), "default", Arrival(NOON + YEAR)
        ),
        at(0, by_a_clock_ahead=-YEAR),
    ],
    ids=["a wrong zone", "the same time as written", "another clock"],
)
def test_a_time_that_a_clock_explains_makes_no_other_event(store: Store, again: RawEvent) -> None:
    load_events(store, [at(0, by_a_clock_ahead=YEAR)], [], "test")
    assert load_events(store, [again], [], "test").duplicates == 1


def test_many_events_of_one_uuid_take_two_commits(store: Store) -> None:
    events = [one("e", f"user-{number}") for number in range(500)]
    assert load_events(store, events, [], "test").accepted == 500
    assert rows(store, "SELECT count(*) FROM raw_batch") == [(2,)]
    assert load_events(store, events[::-1], [], "test").duplicates == 500


def test_many_loads_at_once_with_events_that_share_uuids_take_each_in_once(store: Store) -> None:
    events = [
        event._replace(event=name, distinct_id=person)
        for event in raw_events(60, NOON)
        for name, person in DIFFERENT
    ]

    def load(seed: int) -> int:
        mine = random.Random(seed).sample(events, 200)
        return load_events(store, mine, [], "test").accepted

    with ThreadPoolExecutor(4) as pool:
        accepted = sum(pool.map(load, range(8)))
    stored = "SELECT count(*), count(DISTINCT uuid), count(DISTINCT (payload, event, distinct_id))"
    assert rows(store, f"{stored} FROM raw_event") == [(accepted, accepted, accepted)]
    assert accepted + load_events(store, events, [], "test").accepted == len(events)


def test_an_event_whose_uuid_one_that_is_refused_has_keeps_it(store: Store) -> None:
    events = [one("a", "ann")._replace(title="a\0b"), one("b", "ann"), one("c", "ann")]
    for expected in ((2, 0, 1), (0, 3, 0)):
        result = load_events(store, events, [], "test")
        quarantined = result.quarantined.total()
        assert (result.accepted, result.duplicates, quarantined) == expected
    assert rows(store, f"SELECT event FROM raw_event WHERE uuid = '{UUID}'") == [("b",)]
    assert load_events(store, [one("a", "ann")], [], "test").accepted == 1


def test_what_has_the_uuid_of_an_event_that_was_forgotten_does_not_bring_it_back(
    store: Store,
) -> None:
    events = [one("a", "ann"), one("b", "bob")]
    load_events(store, events, [], "test")
    forget_events(store, People(["ann"]))
    assert load_events(store, events, [], "test").duplicates == 2
    assert rows(store, "SELECT event FROM raw_event") == [("b",)]


def test_the_same_uuid_in_another_project_is_another_event(store: Store) -> None:
    events = [parse_event(make_event(uuid=UUID), project, Arrival(NOON)) for project in ("a", "b")]
    assert load_events(store, events, [], "test").accepted == 2


def test_the_payload_comes_back_to_the_byte(store: Store) -> None:
    payloads = [make_event(properties={"x": "ä\\u0000 " * 50}), make_event(properties={})]
    load_events(
        store, [parse_event(payload, "default", Arrival(NOON)) for payload in payloads], [], "t"
    )
    stored = rows(store, "SELECT payload FROM raw_event")
    assert {decompress(row.payload) for row in stored} == set(payloads)


def test_each_window_of_a_load_gets_one_batch_with_its_count(store: Store) -> None:
    load_events(store, [*raw_events(3, NOON), *raw_events(2, NOON + HOUR)], [], "test")
    found = rows(store, "SELECT window_start, state, event_count, source FROM raw_batch ORDER BY 1")
    assert found == [(NOON, "pending", 3, "test"), (NOON + HOUR, "pending", 2, "test")]


def test_a_batch_of_a_window_to_come_is_due_when_its_window_begins(store: Store) -> None:
    now = datetime.now(UTC)
    load_events(store, raw_events(1, now + timedelta(hours=5)), [], "test")
    window, due_at = rows(store, "SELECT window_start, due_at FROM raw_batch")[0]
    assert due_at == window > now


def test_a_rejected_event_is_a_dead_letter_with_its_text_and_comes_in_once(store: Store) -> None:
    for expected in (1, 0):
        result = load_events(store, raw_events(2, NOON), [rejected()], "test")
        assert result.quarantined[RejectionReason.INVALID_JSON] == expected
    letters = rows(store, "SELECT * FROM dead_letter")
    assert len(letters) == 1
    assert decompress(letters[0].payload) == b"broken"
    assert (letters[0].kind, letters[0].state, letters[0].window_start) == ("event", "open", NOON)
    with store.transaction() as connection:
        assert books(connection)[0][1:] == (5, 0, 1, 4)
        assert counted_books(connection, [NOON], HOUR) == books(connection)


def test_a_rejected_event_leaves_its_uuid_to_the_corrected_one(store: Store) -> None:
    broken = make_event(at=NOON, uuid=UUID, properties=[1])
    load_events(store, [], [rejected(broken)], "test")
    corrected = parse_event(make_event(at=NOON, uuid=UUID), "default", Arrival(NOON))
    assert load_events(store, [corrected], [], "test").accepted == 1


def test_the_same_text_comes_in_once_what_was_wrong_with_it_is_put_right(store: Store) -> None:
    # Without a uuid, it is known by its content, as what is rejected.
    payload = b'{"event":"old","distinct_id":"d","timestamp":"2026-03-01T12:00:00Z"}'
    load_events(store, [], [rejected(payload)], "api")
    event = parse_event(payload, "default", Arrival(NOON))
    assert load_events(store, [event], [], "import").accepted == 1
    assert load_events(store, [event], [rejected(payload)], "import").duplicates == 2


def test_a_key_that_retention_drops_while_it_is_in_the_way_is_taken_after_all(store: Store) -> None:
    [event, other] = raw_events(2, NOON)
    load_events(store, [event], [], "test")
    drops: list[str] = []

    def drop(*arguments: Any) -> None:
        if "JOIN event_key" in arguments[2] and not drops:
            drops.append("dropped")
            with store.transaction() as connection:
                connection.execute(text("DELETE FROM event_key"))

    sqlalchemy_event.listen(store.engine, "before_cursor_execute", drop)
    result = load_events(store, [event, other], [], "test")
    assert drops
    assert result.accepted == 2
    assert len(rows(store, "SELECT 1 FROM event_key")) == 2


@pytest.mark.parametrize("times", [1, 2, 3, 20])
@pytest.mark.parametrize("title", ["good", "refused by PostgreSQL\0"])
def test_a_day_that_retention_drops_while_it_is_loaded_is_made_once_more(
    store: Store, monkeypatch: pytest.MonkeyPatch, times: int, title: str
) -> None:
    original = load._new_batches
    left = [times]

    def dropped_meanwhile(connection: Connection, windows: Sequence[datetime]) -> dict[Any, int]:
        if left[0]:
            left[0] -= 1
            drop_by_retention(store, NOON.date())
        return original(connection, windows)

    monkeypatch.setattr(load, "_new_batches", dropped_meanwhile)
    first, second = raw_events(2, NOON)
    result = load_events(store, [first, second._replace(title=title)], [], "test")
    assert result.accepted == (1 if "\0" in title else 2)
    assert result.accepted + result.quarantined.total() == 2
    assert rows(store, "SELECT count(*) FROM raw_event") == [(result.accepted,)]


def drop_by_retention(store: Store, day: date) -> None:
    """Drop the day in a transaction of its own, unless somebody holds it."""
    try:
        with store.transaction() as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            drop_partition(other, "raw_event", day)
    except DBAPIError as error:
        assert isinstance(error.orig, psycopg.errors.LockNotAvailable)


def test_a_load_of_nothing_but_rejected_events_leaves_nothing_due(store: Store) -> None:
    load_events(store, [], [rejected()], "test")
    assert rows(store, "SELECT state, event_count, dead_count FROM raw_batch") == [
        ("enriched", 1, 1)
    ]


def test_rows_that_postgresql_refuses_are_quarantined_and_their_neighbours_get_in(
    store: Store,
) -> None:
    events = raw_events(40, NOON)
    for number in (3, 17, 18):
        events[number] = events[number]._replace(title="a\0b")
    result = load_events(store, events, [], "test")
    assert result.accepted == 37
    assert result.quarantined == {RejectionReason.REFUSED_BY_STORE: 3}
    assert result.refused is not None
    assert result.refused.keys() == {("default", events[n].uuid.int) for n in (3, 17, 18)}
    for number in (3, 17, 18):
        events[number] = events[number]._replace(title="corrected")
    with store.transaction() as connection:
        assert books(connection)[0][1:] == (40, 0, 3, 37)
        assert counted_books(connection, [NOON], HOUR) == books(connection)
    assert load_events(store, events, [], "test").accepted == 3, "their uuids are free"


@pytest.mark.slow
def test_many_loads_at_once_with_the_same_events_take_each_in_once(store: Store) -> None:
    events = raw_events(400, NOON)

    def load(seed: int) -> int:
        mine = random.Random(seed).sample(events, 300)
        return load_events(store, mine, [], "test").accepted

    with ThreadPoolExecutor(4) as pool:
        accepted = sum(pool.map(load, range(12)))
    stored = rows(store, "SELECT count(*), count(DISTINCT uuid) FROM raw_event")
    assert stored == [(accepted, accepted)]
    with store.transaction() as connection:
        assert counted_books(connection, [NOON], HOUR) == books(connection)
