"""The ledger of dead letters: choosing, counting, reading, marking for replay, discarding.

The summary of what is broken now belongs to `summary`; what a replay does, to `replays`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from sqlalchemy import BigInteger, Connection, DateTime, Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline.store.ingest.events import StoredEvent

EXHAUSTED = "exhausted"
"""The state of a letter whose replays are used up."""

STATES = ("open", "replaying", "resolved", "discarded", EXHAUSTED)

OPEN_STATES = ("open", "replaying", EXHAUSTED)
"""The states of a letter that still needs action by a person or a replay."""

# The name of that state in the column: an earlier one, which other versions read and write too.
_STORED_EXHAUSTED = "parked"

_FETCHED_AT_ONCE = 500

# A letter's columns without payload and traceback; with the age of its history first.
_COLUMNS = """
    id, kind, state, reason_code, message, project, event, event_count, window_start, occurred_at,
    source, attempts, replays, rules_version, worker, first_failed_at, last_failed_at, closed_at,
    closing_note, batch_id, uuid, distinct_id
"""

_TYPES: dict[str, TypeEngine[Any]] = {
    "ids": ARRAY(BigInteger),
    "states": ARRAY(Text),
    "replayable": ARRAY(Text),
    "since": DateTime(timezone=True),
    "until": DateTime(timezone=True),
}


def state_name(stored: str) -> str:
    """The name of a state that the column `state` has."""
    return EXHAUSTED if stored == _STORED_EXHAUSTED else stored


def _stored(states: Sequence[str]) -> list[str]:
    return [_STORED_EXHAUSTED if state == EXHAUSTED else state for state in states]


class LetterFilter(NamedTuple):
    """A filter of letters; a field that is not given matches all."""

    ids: tuple[int, ...] = ()
    reason: str | None = None
    since: datetime | None = None
    """Start of the first window."""
    until: datetime | None = None
    """Start of the first window after the range."""
    rules_version: str | None = None
    event: str | None = None
    """Name of the event."""
    kind: str | None = None
    project: str | None = None
    states: tuple[str, ...] = OPEN_STATES

    @property
    def is_everything(self) -> bool:
        """Whether the filter restricts nothing."""
        return self._replace(states=OPEN_STATES) == LetterFilter()


class LetterCount(NamedTuple):
    """A number of letters, and the number of events in them."""

    letters: int
    events: int


def count_letters(connection: Connection, chosen: LetterFilter) -> LetterCount:
    """Count the letters that match."""
    condition, parameters = _where(chosen)
    row = connection.execute(
        _bound(
            f"SELECT count(*), coalesce(sum(event_count), 0) FROM dead_letter WHERE {condition}",
            parameters,
        )
    ).one()
    return LetterCount(int(row[0]), int(row[1]))


def count_letters_by(
    connection: Connection, chosen: LetterFilter, column: Literal["state", "reason_code"]
) -> dict[str, LetterCount]:
    """Count the letters that match, by state or by reason, the largest number first."""
    condition, parameters = _where(chosen)
    rows = connection.execute(
        _bound(
            f"SELECT {column}, count(*), coalesce(sum(event_count), 0) FROM dead_letter "
            f"WHERE {condition} GROUP BY 1 ORDER BY 2 DESC, 1",
            parameters,
        )
    )
    return {state_name(row[0]): LetterCount(int(row[1]), int(row[2])) for row in rows}


def existing_letters(connection: Connection, ids: Sequence[int]) -> set[int]:
    """The ids among these that a letter has, whatever its state."""
    rows = connection.execute(
        _bound("SELECT id FROM dead_letter WHERE id = ANY(:ids)", {"ids": list(ids)})
    )
    return set(rows.scalars())


def find_letters(
    connection: Connection, chosen: LetterFilter, most: int
) -> list[Mapping[str, object]]:
    """The newest letters that match, without payload and traceback."""
    condition, parameters = _where(chosen)
    rows = connection.execute(
        _bound(
            f"SELECT {_COLUMNS} FROM dead_letter WHERE {condition} ORDER BY id DESC LIMIT :most",
            parameters | {"most": most},
        )
    )
    return [{**row, "state": state_name(row["state"])} for row in rows.mappings()]


def read_letters(connection: Connection, chosen: LetterFilter) -> Iterator[Mapping[str, object]]:
    """The letters that match, with all columns, oldest first, streamed; `payload` as it arrived."""
    condition, parameters = _where(chosen)
    rows = connection.execution_options(yield_per=_FETCHED_AT_ONCE).execute(
        _bound(
            f"SELECT {_COLUMNS}, traceback, sent_at, payload FROM dead_letter "
            f"WHERE {condition} ORDER BY id",
            parameters,
        )
    )
    for row in rows.mappings():
        payload = row["payload"]
        yield {
            **row,
            "state": state_name(row["state"]),
            "payload": decompress(payload) if payload else None,
        }


def find_letter(connection: Connection, number: int) -> StoredEvent | None:
    """The dead letter with this id."""
    row = (
        connection.execute(text("SELECT * FROM dead_letter WHERE id = :id"), {"id": number})
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    facts = {name: value for name, value in row.items() if name != "payload"}
    facts["state"] = state_name(row["state"])
    return StoredEvent(decompress(row["payload"]) if row["payload"] else None, facts)


def replayable_states(chosen: LetterFilter) -> tuple[str, ...]:
    """The states in which a replay takes these letters: an exhausted one only if the
    filter names its id."""
    return OPEN_STATES if chosen.ids else ("open", "replaying")


def mark_for_replay(connection: Connection, chosen: LetterFilter) -> LetterCount:
    """Mark the letters that match for replay. The count includes those that are marked already, for
    example by a replay that was killed."""
    condition, parameters = _where(chosen)
    row = connection.execute(
        _bound(
            f"""
            WITH marked AS (
                UPDATE dead_letter SET state = 'replaying'
                WHERE {condition} AND state = ANY(:replayable)
                RETURNING event_count
            )
            SELECT count(*), coalesce(sum(event_count), 0) FROM marked
            """,
            parameters | {"replayable": _stored(replayable_states(chosen))},
        )
    ).one()
    return LetterCount(int(row[0]), int(row[1]))


def mark_transient(connection: Connection, reasons: tuple[str, ...], waits: str) -> LetterCount:
    """Mark the open letters with these reasons whose last failure is long enough ago: `waits` (an
    interval of PostgreSQL), twice as long after each failed replay."""
    row = connection.execute(
        text(
            """
            WITH marked AS (
                UPDATE dead_letter SET state = 'replaying'
                WHERE state = 'open' AND reason_code = ANY(:reasons)
                    AND last_failed_at < now() - CAST(:waits AS interval) * power(2, replays)
                RETURNING event_count
            )
            SELECT count(*), coalesce(sum(event_count), 0) FROM marked
            """
        ).bindparams(bindparam("reasons", type_=ARRAY(Text))),
        {"reasons": list(reasons), "waits": waits},
    ).one()
    return LetterCount(int(row[0]), int(row[1]))


def count_marked(connection: Connection) -> LetterCount:
    """How many letters are marked for replay."""
    return count_letters(connection, LetterFilter(states=("replaying",)))


def discard(connection: Connection, chosen: LetterFilter, note: str) -> LetterCount:
    """Close for good the letters that match, with a reason; rows stay, and events count as dead."""
    condition, parameters = _where(chosen)
    row = connection.execute(
        _bound(
            f"""
            WITH discarded AS (
                UPDATE dead_letter
                SET state = 'discarded', closed_at = now(), closing_note = :note
                WHERE {condition} AND state IN ('open', 'replaying', 'parked')
                RETURNING event_count
            )
            SELECT count(*), coalesce(sum(event_count), 0) FROM discarded
            """,
            parameters | {"note": note},
        )
    ).one()
    return LetterCount(int(row[0]), int(row[1]))


def _where(chosen: LetterFilter) -> tuple[str, dict[str, object]]:
    conditions = {
        "ids": "id = ANY(:ids)",
        "reason": "reason_code = :reason",
        "since": "window_start >= :since",
        "until": "window_start < :until",
        "rules_version": "rules_version = :rules_version",
        "event": "event = :event",
        "kind": "kind = :kind",
        "project": "project = :project",
        "states": "state = ANY(:states)",
    }
    given = {name: value for name, value in chosen._asdict().items() if value not in (None, ())}
    parameters = {
        name: list(value) if isinstance(value, tuple) else value for name, value in given.items()
    }
    if chosen.states:
        parameters["states"] = _stored(chosen.states)
    return " AND ".join(conditions[name] for name in given) or "true", parameters


def _bound(statement: str, parameters: Mapping[str, object]) -> TextClause:
    return text(statement).bindparams(
        *(bindparam(name, value, type_=_TYPES.get(name)) for name, value in parameters.items())
    )
