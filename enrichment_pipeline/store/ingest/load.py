"""Storing incoming events: the only writer of `raw_event`, for import, pull and API alike.

Deduplication, batches and the pitfalls of COPY are handled here, once. What an event is belongs to
`events`; where it comes from to `ingest`.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import NamedTuple, cast

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import BigInteger, Connection, bindparam, insert, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.events.raw_event import RawEvent, RejectedEvent, RejectionReason
from enrichment_pipeline.events.sameness import Known, uuid_beside
from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.events.uuids import content_uuid
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import blames_data, first_line, retry_conflicts
from enrichment_pipeline.store.database.partitions import ensure_days, hold_partitions
from enrichment_pipeline.store.database.payloads import compress, decompress
from enrichment_pipeline.store.database.tables import dead_letter
from enrichment_pipeline.store.database.transactions import driver_of
from enrichment_pipeline.store.ingest.people import join_people
from enrichment_pipeline.store.queue.inputs import remember_stored, store_inputs

_COPY = """
COPY raw_event (
    batch_id, project, uuid, occurred_at, event, distinct_id, session_id, path, title,
    properties, input_key, payload, detail, device, tab
) FROM STDIN WITH (FORMAT BINARY)
"""
_COPY_TYPES = (
    *("int8", "text", "uuid", "timestamptz", "text", "text", "text", "text", "text"),
    *("jsonb", "uuid", "bytea", "text", "text", "int2"),
)

# One statement with sorted keys: two transactions that take the same keys in another order
# deadlock. With DO NOTHING the first one wins.
_TAKE_KEYS = """
    INSERT INTO event_key (project, uuid, batch_id)
    SELECT * FROM unnest(
        CAST(%(projects)s AS text[]), CAST(%(uuids)s AS uuid[]), CAST(%(batches)s AS bigint[])
    ) AS key (project, uuid, batch)
    ORDER BY project, uuid
    ON CONFLICT DO NOTHING
"""
# Only queried if keys were not taken: returning every taken key costs twice the time.
_LOST_KEYS = text(
    """
    SELECT project, uuid, batch_id
    FROM unnest(CAST(:projects AS text[]), CAST(:uuids AS uuid[])) AS key (project, uuid)
    JOIN event_key USING (project, uuid)
    WHERE batch_id <> ALL(CAST(:own AS bigint[]))
    """
)
# The time range lets PostgreSQL leave out the partitions of all other days.
_HOLDERS = text(
    """
    SELECT project, uuid, event, distinct_id, occurred_at, payload FROM raw_event
    WHERE batch_id = ANY(:batches) AND uuid = ANY(CAST(:uuids AS uuid[]))
        AND occurred_at >= (SELECT min(window_start) FROM raw_batch WHERE id = ANY(:batches))
        AND occurred_at < (SELECT max(window_start) FROM raw_batch WHERE id = ANY(:batches))
            + CAST(:window AS interval)
    """
).bindparams(bindparam("batches", type_=ARRAY(BigInteger)))

# A window that has not begun is not yet a partition in Dagster: its events are due when it begins.
# By the store's clock, as in the query for due batches: with our own clock, a jump made events wait
# for hours.
_INSERT_BATCH = """
    INSERT INTO raw_batch (
        id, window_start, due_at, source, historical, state, event_count, dead_count
    )
    VALUES (
        %(id)s, %(window)s, greatest(now(), %(window)s), %(source)s, %(historical)s, %(state)s,
        %(events)s, %(dead)s
    )
"""

_NEW_BATCH_IDS = """
    SELECT nextval(pg_get_serial_sequence('raw_batch', 'id')) FROM generate_series(1, %(count)s)
"""

# A rejected event must not take the key of the same text as an event without uuid, which may arrive
# again once the cause is corrected.
_REJECTED = b"rejected\0"

# Project and UUID; an int, because UUID hashes and compares in Python, several times an event.
Key = tuple[str, int]


class LoadResult(NamedTuple):
    """The result of one load."""

    accepted: int
    """Events that are new to the store, due for enrichment."""
    duplicates: int
    quarantined: Counter[RejectionReason]
    """Events that became dead letters, by reason."""
    refused: Mapping[Key, str] | None = None
    """Events that PostgreSQL refused, and why; they are, or were before, among the quarantined."""
    batches: Sequence[int] = ()
    """The batches that hold the accepted events."""


class _Loaded(NamedTuple):
    """The result of one transaction."""

    batches: list[int]
    accepted: int
    quarantined: Counter[RejectionReason]
    holders: Mapping[Key, Known | None]
    """For events that were not stored: the event that holds their uuid."""


def load_events(
    store: Store,
    events: Sequence[RawEvent],
    rejected: Sequence[RejectedEvent],
    source: str,
    *,
    historical: bool = False,
) -> LoadResult:
    """Store events and rejected events: when this returns, they are durable.

    An event whose (project, uuid) is known is a duplicate and is not stored again, unless it is a
    different event (`events.sameness`), which gets a uuid of its own. A rejected event is
    identified by its content, so that its uuid stays free for a corrected one. Each window touched
    gets one batch; `historical` batches are enriched after all others.
    """
    inputs = store_inputs(store, {event.input_key: event.inputs for event in events})
    items: dict[Key, RawEvent | RejectedEvent] = {}
    for rejection in rejected:
        items.setdefault(_key_of_rejected(rejection), rejection)
    again = [event for event in events if items.setdefault(_key(event), event) is not event]
    common = {"source": source, "historical": historical}
    refused: dict[Key, str] = {}
    try:
        loaded = _load_somehow(store, items, common)
    except _RefusedError as error:
        refused = error.refused
        # From here on they are identified by their content, like other rejected events.
        for key, message in refused.items():
            rejection = _refused(cast("RawEvent", items.pop(key)), message)
            items.setdefault(_key_of_rejected(rejection), rejection)
        loaded = _load(store, items, common, days=_days(items))
    accepted, quarantined, batches = loaded.accepted, loaded.quarantined, loaded.batches
    if accepted:
        remember_stored(store, inputs)
    if others := list(_others(items, again, loaded.holders)):
        # In a commit of their own: two statements that take keys in one transaction would deadlock.
        rest = load_events(store, [own for _, own in others], [], source, historical=historical)
        accepted, quarantined = accepted + rest.accepted, quarantined + rest.quarantined
        batches = [*batches, *rest.batches]
        for event, own in others:
            if rest.refused and _key(own) in rest.refused:
                refused[_key(event)] = rest.refused[_key(own)]
    duplicates = len(events) + len(rejected) - accepted - quarantined.total()
    return LoadResult(accepted, duplicates, quarantined, refused or None, batches)


def _key(event: RawEvent) -> Key:
    return event.project, event.uuid.int


def _key_of_rejected(rejection: RejectedEvent) -> Key:
    return rejection.project, content_uuid(_REJECTED + rejection.payload).int


def _known(event: RawEvent) -> Known:
    return Known(
        event.uuid, event.event, event.distinct_id, event.occurred_at, lambda: event.payload
    )


def _others(
    items: Mapping[Key, RawEvent | RejectedEvent],
    again: Sequence[RawEvent],
    holders: Mapping[Key, Known | None],
) -> Iterator[tuple[RawEvent, RawEvent]]:
    """Events that were not stored because a different event has their uuid: each with a new uuid.

    `again` are those whose uuid another item has too. If the holder was forgotten, nothing is known
    of it, and an event with its uuid counts as a duplicate.
    """
    lost = (event for key in holders if isinstance(event := items[key], RawEvent))
    for event in (*lost, *again):
        key = _key(event)
        first = items.get(key)
        if first is None:
            yield event, event  # the first was refused, which leaves its uuid free
            continue
        holder = _known(first) if isinstance(first, RawEvent) else None
        holder = holders.get(key, holder)
        if holder is not None and (uuid := uuid_beside(holder, _known(event))):
            yield event, event._replace(uuid=uuid)


def _load_somehow(
    store: Store, items: Mapping[Key, RawEvent | RejectedEvent], common: Mapping[str, object]
) -> _Loaded:
    """Load in the cheapest way; if the data prevent that, in the more expensive way.

    A row that PostgreSQL refuses fails its transaction; savepoints to find it would cost each load
    two more round trips. A missing partition fails it too: retention may drop one at any moment
    until an event is written to it.
    """
    days = _days(items)
    ensure_days(store, days)
    try:
        return _load(store, items, common)
    except Exception as error:
        if not blames_data(error):
            raise
    return _load(store, items, common, days=days, isolate=True)


def _days(items: Mapping[Key, RawEvent | RejectedEvent]) -> set[date]:
    return {item.occurred_at.date() for item in items.values() if isinstance(item, RawEvent)}


class _RefusedError(Exception):
    """PostgreSQL refused these events, and why; nothing is loaded."""

    def __init__(self, refused: dict[Key, str]) -> None:
        super().__init__(refused)
        self.refused = refused


@retry_conflicts
def _load(
    store: Store,
    items: Mapping[Key, RawEvent | RejectedEvent],
    common: Mapping[str, object],
    *,
    days: Collection[date] = (),
    isolate: bool = False,
) -> _Loaded:
    """Load in one transaction. The partitions of `days` are held; with `isolate` the rows that
    PostgreSQL refuses are searched for, and nothing is loaded if there are any."""
    windows = {key: window_start(item.occurred_at, store.window) for key, item in items.items()}
    with store.transaction() as connection:
        if days:
            hold_partitions(connection, days)
        batches = _new_batches(connection, sorted(set(windows.values())))
        batch_of = {key: batches[window] for key, window in windows.items()}
        lost = _take_keys(connection, batch_of)
        events_lost = {key: lost[key] for key in lost if isinstance(items[key], RawEvent)}
        holders = _holders(connection, events_lost, store.window)
        new = [(batch_of[key], item) for key, item in items.items() if key not in lost]
        events = [(batch, item) for batch, item in new if isinstance(item, RawEvent)]
        if isolate and (refused := _copy_isolating(connection, events)):
            raise _RefusedError(refused)
        if not isolate:
            _copy(connection, events)
        dead = [(batch, item) for batch, item in new if isinstance(item, RejectedEvent)]
        _insert_batches(connection, batches, Counter(batch for batch, _ in new), dead, common)
        _insert_dead_letters(connection, dead, store.window, str(common["source"]))
        # Last, because it waits for others, who must not wait for this transaction's keys.
        join_people(connection, [event for _, event in events])
    filled = sorted({batch for batch, _ in events})
    return _Loaded(filled, len(events), Counter(item.reason for _, item in dead), holders)


def _new_batches(connection: Connection, windows: Sequence[datetime]) -> dict[datetime, int]:
    rows = driver_of(connection).execute(_NEW_BATCH_IDS, {"count": len(windows)}).fetchall()
    return {window: batch for window, (batch,) in zip(windows, rows, strict=True)}


def _take_keys(connection: Connection, batches: dict[Key, int]) -> dict[Key, int]:
    """Take the keys that are free; returns the others, with the batch of each key's holder."""
    parameters: dict[str, Sequence[str | int]] = {
        "projects": [project for project, _ in batches],
        "uuids": [f"{uuid:032x}" for _, uuid in batches],
        "batches": list(batches.values()),
    }
    taken = driver_of(connection).execute(_TAKE_KEYS, parameters).rowcount
    if taken == len(batches):
        return {}
    parameters["own"] = sorted(set(batches.values()))
    rows = connection.execute(_LOST_KEYS, parameters).all()
    lost = {(row.project, row.uuid.int): row.batch_id for row in rows}
    if len(lost) + taken < len(batches):
        # Retention removed a key that was taken a moment ago: it is free now.
        raise psycopg.errors.SerializationFailure("a key was dropped meanwhile")
    return lost


def _holders(
    connection: Connection, lost: Mapping[Key, int], window: timedelta
) -> dict[Key, Known | None]:
    """The events that hold these keys, in these batches; None for an event that is gone."""
    holders: dict[Key, Known | None] = dict.fromkeys(lost)
    if lost:
        parameters = {
            "batches": sorted(set(lost.values())),
            "uuids": [f"{uuid:032x}" for _, uuid in lost],
            "window": window,
        }
        for row in connection.execute(_HOLDERS, parameters):
            if (key := (row.project, row.uuid.int)) in holders:
                payload = partial(decompress, row.payload)
                holders[key] = Known(row.uuid, row.event, row.distinct_id, row.occurred_at, payload)
    return holders


def _copy(connection: Connection, events: Sequence[tuple[int, RawEvent]]) -> None:
    """Write the events: all of them, or none and an error."""
    if events:
        with driver_of(connection).cursor() as cursor, cursor.copy(_COPY) as copy:
            copy.set_types(_COPY_TYPES)
            for batch, event in events:
                copy.write_row(_row(batch, event))


def _copy_isolating(
    connection: Connection, events: Sequence[tuple[int, RawEvent]]
) -> dict[Key, str]:
    """Write the events; returns those that PostgreSQL refused, and why.

    One bad row fails a whole COPY, so a failed COPY is halved until the bad row is alone.
    """
    try:
        with driver_of(connection).transaction():
            _copy(connection, events)
    except psycopg.Error as error:
        if not blames_data(error):
            raise
        if len(events) == 1:
            [(_, event)] = events
            return {(event.project, event.uuid.int): first_line(error)}
        middle = len(events) // 2
        first = _copy_isolating(connection, events[:middle])
        return first | _copy_isolating(connection, events[middle:])
    return {}


def _row(batch: int, event: RawEvent) -> tuple[object, ...]:
    properties = event.properties
    return (
        batch,
        event.project,
        event.uuid,
        event.occurred_at,
        event.event,
        event.distinct_id,
        event.session_id,
        event.path,
        event.title,
        None if properties is None else Jsonb(properties, dumps=_as_it_is),
        event.input_key,
        compress(event.payload),
        event.detail,
        event.device,
        event.tab,
    )


def _as_it_is(encoded: bytes) -> bytes:
    return encoded


def _refused(event: RawEvent, message: str) -> RejectedEvent:
    return RejectedEvent(
        project=event.project,
        reason=RejectionReason.REFUSED_BY_STORE,
        message=message,
        payload=event.payload,
        occurred_at=event.occurred_at,
        event=event.event,
    )


def _insert_batches(
    connection: Connection,
    batches: dict[datetime, int],
    counts: Counter[int],
    dead: Sequence[tuple[int, RejectedEvent]],
    common: Mapping[str, object],
) -> None:
    dead_counts = Counter(batch for batch, _ in dead)
    rows = [
        {
            **common,
            "id": batch,
            "window": window,
            "state": "enriched" if dead_counts[batch] == counts[batch] else "pending",
            "events": counts[batch],
            "dead": dead_counts[batch],
        }
        for window, batch in batches.items()
        if counts[batch]
    ]
    for row in rows:
        driver_of(connection).execute(_INSERT_BATCH, row)


def _insert_dead_letters(
    connection: Connection,
    dead: Sequence[tuple[int, RejectedEvent]],
    window: timedelta,
    source: str,
) -> None:
    rows = [
        {
            "kind": "event",
            "batch_id": batch,
            "window_start": window_start(item.occurred_at, window),
            "event_count": 1,
            "source": source,
            "project": item.project,
            "event": item.event,
            "reason_code": item.reason,
            "message": item.message,
            "payload": compress(item.payload),
            "sent_at": item.sent_at,
        }
        for batch, item in dead
    ]
    if rows:
        connection.execute(insert(dead_letter), rows)
