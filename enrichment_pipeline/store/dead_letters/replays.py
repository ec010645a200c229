"""Replaying dead letters: claiming the marked ones and recording the result.

Choosing and reading letters belongs to `letters`; what a replay does, to `enrichment.replay`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline.store.queue.claims import Batch, Death
from enrichment_pipeline.store.queue.enriched import INSERT_ENRICHED

_ids = bindparam("ids", type_=ARRAY(BigInteger))

_CLAIM = text(
    """
    SELECT id, kind, batch_id, event_count, project, event, payload, uuid, first_failed_at, sent_at,
        source
    FROM dead_letter WHERE state = 'replaying' AND kind = :kind
    ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED
    """
)

_RESOLVE = text(
    """
    UPDATE dead_letter SET state = 'resolved', closed_at = now(), closing_note = :note
    WHERE id = ANY(:ids)
    """
).bindparams(_ids)

_FAIL = text(
    """
    UPDATE dead_letter
    SET state = CASE WHEN replays + 1 >= :most_replays THEN 'parked' ELSE 'open' END,
        replays = replays + 1, last_failed_at = now(), reason_code = :reason, message = :message,
        traceback = :traceback, rules_version = coalesce(:rules_version, rules_version),
        worker = :worker
    WHERE id = ANY(:ids) AND state = 'replaying'
    RETURNING state
    """
).bindparams(_ids)

# An event refused at ingestion counts in the batch of its arrival until it is taken in.
_TAKE_OUT = text(
    """
    UPDATE raw_batch
    SET event_count = event_count - letter.events, dead_count = dead_count - letter.events
    FROM (
        SELECT batch_id, sum(event_count) AS events FROM dead_letter WHERE id = ANY(:ids)
        GROUP BY batch_id
    ) letter
    WHERE raw_batch.id = letter.batch_id
    """
).bindparams(_ids)

_LOCK_BATCHES = text(
    """
    SELECT id, state FROM raw_batch
    WHERE id IN (SELECT batch_id FROM dead_letter WHERE id = ANY(:ids))
    ORDER BY id FOR UPDATE
    """
).bindparams(_ids)

_INPUT_KEYS = text(
    """
    SELECT letter.id, raw.input_key
    FROM dead_letter letter JOIN raw_event raw
        ON raw.occurred_at = letter.occurred_at AND raw.batch_id = letter.batch_id
            AND raw.uuid = letter.uuid AND raw.project = letter.project
    WHERE letter.id = ANY(:ids)
    """
).bindparams(_ids)

_WRITE = text(
    f"""
    {INSERT_ENRICHED}
    FROM dead_letter letter
    JOIN raw_event raw ON raw.occurred_at = letter.occurred_at AND raw.batch_id = letter.batch_id
        AND raw.uuid = letter.uuid AND raw.project = letter.project
    JOIN enrichment_output output ON output.version = :version AND output.input_key = raw.input_key
    WHERE letter.id = ANY(:ids)
    ON CONFLICT DO NOTHING
    """
).bindparams(_ids)

_RECLASSIFY = text(
    """
    UPDATE raw_batch
    SET dead_count = dead_count - letter.events,
        enriched_count = CASE WHEN state = 'pending' THEN enriched_count
            ELSE enriched_count + letter.events END
    FROM (
        SELECT batch_id, count(*) AS events FROM dead_letter WHERE id = ANY(:ids)
        GROUP BY batch_id
    ) letter
    WHERE raw_batch.id = letter.batch_id
    """
).bindparams(_ids)

_REOPEN = text(
    """
    UPDATE raw_batch
    SET state = 'pending', due_at = now(), finished_at = NULL, dead_count = dead_count - :events
    WHERE id = :id AND state = 'dead'
    RETURNING id, window_start, event_count - dead_count, attempts, dead_count
    """
)


class Letter(NamedTuple):
    """A letter that is being replayed."""

    id: int
    kind: str
    batch_id: int
    event_count: int
    project: str | None
    event: str | None
    payload: bytes | None
    uuid: UUID | None
    """None for a batch, and for an event that was refused at ingestion."""
    first_failed_at: datetime
    """For an event refused at ingestion: when it arrived."""
    sent_at: datetime | None
    source: str


def claim_letters(connection: Connection, kind: str, most: int) -> list[Letter]:
    """Lock letters of this kind that are marked for replay and not locked by another replay."""
    rows = connection.execute(_CLAIM, {"kind": kind, "most": most})
    letters = [Letter(*row) for row in rows]
    return [
        letter._replace(payload=decompress(letter.payload)) if letter.payload else letter
        for letter in letters
    ]


def resolve(connection: Connection, ids: Sequence[int], note: str) -> None:
    """Mark these letters as resolved; `note` says how."""
    connection.execute(_RESOLVE, {"ids": list(ids), "note": note})


def fail_replays(
    connection: Connection, ids: Sequence[int], death: Death, most_replays: int
) -> int:
    """Record that the replay of these letters failed: they are open again, or exhausted (state
    `parked`) after too many failures. Returns how many are exhausted now."""
    parameters = death._asdict() | {"ids": list(ids), "most_replays": most_replays}
    states = connection.execute(_FAIL, parameters).scalars().all()
    return states.count("parked")


def take_out_of_books(connection: Connection, ids: Sequence[int]) -> None:
    """Remove these letters' events, refused at ingestion, from the counts of their batches: they
    belong to other batches now."""
    connection.execute(_TAKE_OUT, {"ids": list(ids)})


def lock_batches(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Lock the batches of these letters, waiting for other holders; returns each batch's state."""
    return {row.id: row.state for row in connection.execute(_LOCK_BATCHES, {"ids": list(ids)})}


def input_keys(connection: Connection, ids: Sequence[int]) -> dict[int, UUID]:
    """The keys of the action inputs of these letters' events, if they still exist, by letter."""
    return {row.id: row.input_key for row in connection.execute(_INPUT_KEYS, {"ids": list(ids)})}


def write_letters(
    connection: Connection, ids: Sequence[int], version: str, rules_version: str
) -> None:
    """Write the enriched events of these letters; an existing row stays as it is."""
    parameters: Mapping[str, object] = {
        "ids": list(ids),
        "version": version,
        "rules_version": rules_version,
    }
    connection.execute(_WRITE, parameters)


def reclassify(connection: Connection, ids: Sequence[int]) -> None:
    """Count these letters' events as no longer dead: enriched, or pending with their batch."""
    connection.execute(_RECLASSIFY, {"ids": list(ids)})


def reopen_batch(connection: Connection, letter: Letter) -> Batch | None:
    """Make the dead batch of a letter due again; None if it is no longer dead."""
    row = connection.execute(
        _REOPEN, {"id": letter.batch_id, "events": letter.event_count}
    ).one_or_none()
    return Batch(*row) if row else None
