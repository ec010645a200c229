"""Forgetting people: removing their events and dead letters while the books still balance.

Each day is a transaction of its own, so that a call that was killed can simply be repeated. The
keys of the events stay: they hold nothing about a person, and they identify an event that is sent
again. Errors that name a person belong to `forget_texts`, action inputs that no other event has to
`unused_inputs`, recognizing people to `events.people`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Row, Text, bindparam, insert, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.events.people import People, ledger_name
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import retry_conflicts
from enrichment_pipeline.store.database.partitions import partition_days
from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline.store.database.secrets import LEDGER_KEY, secret
from enrichment_pipeline.store.database.tables import (
    PARTITIONED,
    enriched_event,
    forgotten,
    raw_event,
)
from enrichment_pipeline.store.ingest.people import forget_people
from enrichment_pipeline.store.lifecycle.forget_texts import forget_texts
from enrichment_pipeline.store.sessions.building import forget_sessions

_CLOSING_NOTE = "its events went with people who were forgotten"

_OF_PROJECT = "(CAST(:project AS text) IS NULL OR project = :project)"
_OF_PEOPLE = f"distinct_id = ANY(:people) AND {_OF_PROJECT}"
_OF_DAY = "occurred_at >= :start AND occurred_at < :end"
_WINDOW_OF_DAY = "window_start >= :start AND window_start < :end"

_people = bindparam("people", type_=ARRAY(Text))
_ids = bindparam("ids", type_=ARRAY(BigInteger))

# An index finds enriched events by person. Raw events have none, because each incoming event would
# pay for it; those that are not enriched are in a batch that is not fully enriched.
_BATCHES = text(
    f"""
    SELECT batch_id FROM enriched_event WHERE {_OF_DAY} AND {_OF_PEOPLE}
    UNION
    SELECT batch_id FROM raw_event WHERE {_OF_DAY} AND {_OF_PEOPLE} AND batch_id = ANY(ARRAY(
        SELECT id FROM raw_batch WHERE {_WINDOW_OF_DAY} AND enriched_count < event_count
    ))
    """
).bindparams(_people)

_KNOWN_LETTERS = text(
    f"""
    SELECT id, distinct_id FROM dead_letter
    WHERE kind = 'event' AND {_WINDOW_OF_DAY} AND {_OF_PEOPLE}
    UNION ALL
    SELECT letter.id, raw.distinct_id
    FROM dead_letter letter JOIN raw_event raw
        ON raw.batch_id = letter.batch_id AND raw.uuid = letter.uuid
            AND raw.project = letter.project
    WHERE letter.kind = 'event' AND letter.distinct_id IS NULL
        AND letter.window_start >= :start AND letter.window_start < :end
        AND raw.occurred_at >= :start AND raw.occurred_at < :end
        AND raw.distinct_id = ANY(:people)
        AND (CAST(:project AS text) IS NULL OR raw.project = :project)
    """
).bindparams(_people)

# Events refused at ingestion, often because they have no readable distinct_id.
_UNKNOWN_LETTERS = text(
    f"""
    SELECT id, payload FROM dead_letter
    WHERE kind = 'event' AND {_WINDOW_OF_DAY} AND {_OF_PROJECT}
        AND distinct_id IS NULL AND uuid IS NULL AND payload IS NOT NULL
    """
)
_READ_AT_ONCE = 500

# Letters before batches, the order in which a replay locks them; this waits for an enrichment of
# the batch or a replay of the letter.
_LETTERS = """
    SELECT id, batch_id, project, window_start, event_count, uuid IS NOT NULL AS is_raw,
        state <> 'resolved' AS is_dead
    FROM dead_letter WHERE id = ANY(:ids) ORDER BY id
"""
_STATES = "SELECT id, window_start, state FROM raw_batch WHERE id = ANY(:ids) ORDER BY id"
_LOCK = " FOR UPDATE"

_ROWS_OF = f"{_OF_DAY} AND {_OF_PEOPLE} AND batch_id = ANY(:ids)"
_OWNERS = "batch_id, project, distinct_id, occurred_at"
_COUNT = """
    WITH row AS ({rows})
    SELECT batch_id, project, distinct_id,
        date_bin(CAST(:length AS interval), occurred_at, '1970-01-01 00:00+00') AS window_start,
        count(*) AS events
    FROM row GROUP BY 1, 2, 3, 4
"""

_UPDATE_BATCH = text(
    """
    UPDATE raw_batch
    SET event_count = event_count - :events, dead_count = dead_count - :dead,
        enriched_count = greatest(enriched_count - :enriched, 0)
    WHERE id = :id
    """
)
_UPDATE_LETTER = text(
    """
    UPDATE dead_letter SET event_count = event_count - :events
    WHERE kind = 'batch' AND batch_id = :id AND state <> 'resolved'
    """
)
_RESOLVE_LETTERS = text(
    """
    UPDATE dead_letter SET state = 'resolved', closed_at = now(), closing_note = :note
    WHERE kind = 'batch' AND batch_id = ANY(:ids) AND state <> 'resolved' AND event_count = 0
    """
).bindparams(_ids)
# A batch with nothing left to do is finished: otherwise it would be claimed for nothing, or keep
# its window FAILED.
_FINISH_BATCHES = text(
    """
    UPDATE raw_batch SET state = 'enriched', finished_at = coalesce(finished_at, now())
    WHERE id = ANY(:ids) AND (
        (state = 'pending' AND event_count = dead_count)
        OR (state = 'dead' AND NOT EXISTS (
            SELECT FROM dead_letter WHERE kind = 'batch' AND batch_id = raw_batch.id
                AND batch_id = ANY(:ids) AND state <> 'resolved'
        ))
    )
    """
).bindparams(_ids)
_DELETE_LETTERS = text("DELETE FROM dead_letter WHERE id = ANY(:ids)").bindparams(_ids)


_FORGOTTEN_BEFORE = text(
    "SELECT coalesce(sum(enriched + dead + pending), 0) FROM forgotten WHERE person = ANY(:names)"
).bindparams(bindparam("names", type_=ARRAY(Text)))


class Forgotten(NamedTuple):
    """How many events of a person were removed from a window, by their state in the books."""

    project: str
    distinct_id: str
    window_start: datetime
    enriched: int
    dead: int
    pending: int

    @property
    def events(self) -> int:
        """The sum of all states."""
        return self.enriched + self.dead + self.pending


@dataclass
class ForgetReport:
    """The events that were removed, or would be."""

    events: list[Forgotten] = field(default_factory=list)
    letters: int = 0
    """Dead letters; those that were not resolved are among the dead events."""
    texts: int = 0
    """Errors of their batches that named them."""
    forgotten_before: int = 0
    """Events that were removed by earlier calls, according to the ledger."""
    ledger_names: dict[tuple[str, str], str] = field(default_factory=dict)
    """The ledger's names of the people concerned, by project and distinct_id."""


class _Key(NamedTuple):
    """A person and a batch."""

    batch_id: int
    project: str
    distinct_id: str
    window_start: datetime


class _Letter(NamedTuple):
    id: int
    batch_id: int
    project: str | None
    window_start: datetime
    event_count: int
    is_raw: bool
    """Whether its event is in raw_event too."""
    is_dead: bool
    """Whether the books count it as dead."""


def forget_events(
    store: Store, people: People, project: str | None = None, *, dry_run: bool = False
) -> ForgetReport:
    """Remove the events and dead letters of people from one project, or from all.

    Their batches are locked first, which waits for other work on them. With `dry_run` the events
    are counted as they are at the moment, and nothing is waited for or removed.
    """
    report = ForgetReport()
    with store.transaction() as connection:
        days = _days(connection)
        key = secret(connection, LEDGER_KEY)
        report.forgotten_before = _forgotten_before(connection, key, people, project)
    for day in days:
        gone = _forget_day(store, people, project, day, dry_run=dry_run)
        report.events += gone.events
        report.letters += gone.letters
        report.texts += gone.texts
    report.ledger_names = {
        whose: ledger_name(key, *whose)
        for whose in sorted({(row.project, row.distinct_id) for row in report.events})
    }
    if not dry_run:
        # Last: the call after one that was killed must find the sessions under all ids again.
        _forget_who_is_who(store, people, project)
    return report


@retry_conflicts
def _forget_who_is_who(store: Store, people: People, project: str | None) -> None:
    with store.transaction() as connection:
        forget_people(connection, project, people.distinct_ids)


def _forgotten_before(connection: Connection, key: str, people: People, project: str | None) -> int:
    found = connection.execute(text("SELECT DISTINCT project FROM forgotten")).scalars().all()
    names = [
        ledger_name(key, one, distinct_id)
        for one in found
        if project in (None, one)
        for distinct_id in people.distinct_ids
    ]
    counted = connection.execute(_FORGOTTEN_BEFORE, {"names": names}).scalar_one()
    return int(counted)


def _days(connection: Connection) -> list[date]:
    with_letters = connection.execute(
        text("SELECT DISTINCT CAST(window_start AT TIME ZONE 'UTC' AS date) FROM dead_letter")
    ).scalars()
    days: set[date] = set(with_letters)
    return sorted(days.union(*(partition_days(connection, table) for table in PARTITIONED)))


@retry_conflicts
def _forget_day(
    store: Store, people: People, project: str | None, day: date, *, dry_run: bool
) -> ForgetReport:
    """Forget the events of one day in one transaction."""
    with store.transaction() as connection:
        return _Day(connection, store.window, people, project, day, dry_run=dry_run).forget()


class _Day:
    """The events of some people on one day, in one transaction."""

    def __init__(
        self,
        connection: Connection,
        length: timedelta,
        people: People,
        project: str | None,
        day: date,
        *,
        dry_run: bool,
    ) -> None:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self._connection = connection
        self._people = people
        self._dry_run = dry_run
        self._parameters: dict[str, object] = {
            "people": people.distinct_ids,
            "project": project,
            "start": start,
            "end": start + timedelta(days=1),
        }
        self._length = length

    def forget(self) -> ForgetReport:
        """Remove them; returns what was removed."""
        owners = self._known_owners() | self._unknown_owners()
        batches = {letter.batch_id for letter in self._locked(_LETTERS, owners)}
        batches.update(self._connection.execute(_BATCHES, self._parameters).scalars())
        states = {row.id: row.state for row in self._locked(_STATES, batches)}
        # Once more: a run that this waited for may have left letters.
        owners |= self._known_owners()
        letters = [_Letter._make(row) for row in self._locked(_LETTERS, owners)]
        if not self._dry_run:
            forget_sessions(self._connection, self._parameters)
        texts = forget_texts(self._connection, self._people, batches, dry_run=self._dry_run)
        raw = self._take(raw_event.name, batches)
        enriched = self._take(enriched_event.name, batches)
        refused, failed = _count_letters(letters, owners)
        gone: list[Forgotten] = []
        changes: dict[int, Counter[str]] = defaultdict(Counter)
        for key in sorted({*raw, *enriched, *refused, *failed}):
            # A raw event is enriched, or has a letter, or has the state of its batch.
            rest = max(0, raw[key] - enriched[key] - failed[key])
            in_dead_batch = rest if states.get(key.batch_id) == "dead" else 0
            dead = refused[key] + failed[key] + in_dead_batch
            row = Forgotten(*key[1:], enriched[key], dead, rest - in_dead_batch)
            gone.append(row)
            changes[key.batch_id].update(
                events=raw[key] + refused[key],
                dead=dead,
                enriched=enriched[key],
                in_dead_batch=in_dead_batch,
            )
        if not self._dry_run:
            self._connection.execute(_DELETE_LETTERS, {"ids": [letter.id for letter in letters]})
            self._keep_books(changes)
            self._write_ledger(gone)
        return ForgetReport(gone, len(letters), texts)

    def _known_owners(self) -> dict[int, str]:
        """The letters of these people's events with the owner of each, found by their columns."""
        known = self._connection.execute(_KNOWN_LETTERS, self._parameters)
        return {row.id: row.distinct_id for row in known}

    def _unknown_owners(self) -> dict[int, str]:
        """The same, found by their payloads."""
        letters = self._connection.execute(
            _UNKNOWN_LETTERS, self._parameters, execution_options={"yield_per": _READ_AT_ONCE}
        )
        owners = {letter.id: self._people.owner(decompress(letter.payload)) for letter in letters}
        return {letter: owner for letter, owner in owners.items() if owner is not None}

    def _locked(self, statement: str, ids: Iterable[int]) -> Sequence[Row[Any]]:
        wanted = statement if self._dry_run else statement + _LOCK
        return self._connection.execute(text(wanted).bindparams(_ids), {"ids": list(ids)}).all()

    def _take(self, table: str, batches: Iterable[int]) -> Counter[_Key]:
        """Remove their rows from a table; returns how many were removed, by batch and person."""
        if self._dry_run:
            rows = f"SELECT {_OWNERS} FROM {table} WHERE {_ROWS_OF}"
        else:
            rows = f"DELETE FROM {table} WHERE {_ROWS_OF} RETURNING {_OWNERS}"
        counted = self._connection.execute(
            text(_COUNT.format(rows=rows)).bindparams(_people, _ids),
            self._parameters | {"ids": list(batches), "length": self._length},
        )
        return Counter({_Key(*row[:4]): row.events for row in counted})

    def _keep_books(self, changes: dict[int, Counter[str]]) -> None:
        for batch, change in sorted(changes.items()):
            self._connection.execute(
                _UPDATE_BATCH,
                {
                    "id": batch,
                    "events": change["events"],
                    "dead": change["dead"],
                    "enriched": change["enriched"],
                },
            )
            if change["in_dead_batch"]:
                self._connection.execute(
                    _UPDATE_LETTER, {"id": batch, "events": change["in_dead_batch"]}
                )
        if changes:
            ids = sorted(changes)
            self._connection.execute(_RESOLVE_LETTERS, {"ids": ids, "note": _CLOSING_NOTE})
            self._connection.execute(_FINISH_BATCHES, {"ids": ids})

    def _write_ledger(self, gone: Sequence[Forgotten]) -> None:
        key = secret(self._connection, LEDGER_KEY)
        counts: dict[tuple[str, str, datetime], Counter[str]] = defaultdict(Counter)
        for row in gone:
            person = ledger_name(key, row.project, row.distinct_id)
            counts[row.project, person, row.window_start].update(
                enriched=row.enriched, dead=row.dead, pending=row.pending
            )
        rows = [
            {
                "project": project,
                "person": person,
                "window_start": window,
                "enriched": count["enriched"],
                "dead": count["dead"],
                "pending": count["pending"],
            }
            for (project, person, window), count in sorted(counts.items())
        ]
        if rows:
            self._connection.execute(insert(forgotten), rows)


def _count_letters(
    letters: Sequence[_Letter], owners: dict[int, str]
) -> tuple[Counter[_Key], Counter[_Key]]:
    """Count the dead events of these letters: refused at ingestion, and in raw_event too."""
    refused: Counter[_Key] = Counter()
    failed: Counter[_Key] = Counter()
    for letter in letters:
        if letter.is_dead:
            key = _Key(
                letter.batch_id, letter.project or "", owners[letter.id], letter.window_start
            )
            (failed if letter.is_raw else refused)[key] += letter.event_count
    return refused, failed
