"""Taking events in: once, durable, and one bad one costs one."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from enrichment_pipeline.events.raw_event import Arrival, Reason, RejectedEvent, parse_event
from enrichment_pipeline.store.books import books, counted_books
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline.store.payloads import decompress
from enrichment_pipeline_tests.conftest import HOUR, make_event, raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
UUID = "01a2074a-16f5-75be-ae39-7a682b08770e"


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


def rejected(payload: bytes = b"broken", at: datetime = NOON) -> RejectedEvent:
    return RejectedEvent("default", Reason.INVALID_JSON, "not JSON", payload, at)


@pytest.mark.parametrize("later", [timedelta(0), HOUR, timedelta(days=1), -timedelta(days=40)])
def test_the_same_uuid_is_one_event_whenever_it_comes_again(store: Store, later: timedelta) -> None:
    first = parse_event(make_event(at=NOON, uuid=UUID), "default", Arrival(NOON))
    again = parse_event(make_event(at=NOON + later, uuid=UUID), "default", Arrival(NOON))
    assert load_events(store, [first], [], "test").accepted == 1
    result = load_events(store, [again], [], "test")
    assert (result.accepted, result.duplicates) == (0, 1)
    assert rows(store, "SELECT occurred_at FROM raw_event") == [(NOON,)]
    assert len(rows(store, "SELECT id FROM raw_batch")) == 1


def test_the_same_uuid_twice_in_one_load_is_one_event_and_the_first_wins(store: Store) -> None:
    events = [
        parse_event(make_event(name, uuid=UUID), "default", Arrival(NOON))
        for name in ("first", "second")
    ]
    result = load_events(store, events, [], "test")
    assert (result.accepted, result.duplicates) == (1, 1)
    assert rows(store, "SELECT event FROM raw_event") == [("first",)]


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
        assert result.quarantined[Reason.INVALID_JSON] == expected
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
    assert result.quarantined == {Reason.REFUSED_BY_STORE: 3}
    assert result.refused is not None
    assert result.refused.keys() == {("default", events[n].uuid.int) for n in (3, 17, 18)}
    for number in (3, 17, 18):
        events[number] = events[number]._replace(title="corrected")
    with store.transaction() as connection:
        assert books(connection)[0][1:] == (40, 0, 3, 37)
        assert counted_books(connection, [NOON], HOUR) == books(connection)
    assert load_events(store, events, [], "test").accepted == 3, "their uuids are free"


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
