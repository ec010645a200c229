"""The queue: claiming due batches, and recording the results.

`enrichment.attempts` decides how many attempts a batch has, and how long it waits.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.rows import class_row
from sqlalchemy import BigInteger, Connection, DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.database.transactions import driver_of

_COLUMNS = """
id, window_start, event_count - dead_count AS due_count, attempts, dead_count
"""

_CLAIM = f"""
SELECT {_COLUMNS}
FROM raw_batch
WHERE state = 'pending' AND due_at <= now() AND {{condition}}
ORDER BY historical, window_start, id
FOR UPDATE SKIP LOCKED
"""

_MOST_FETCHED = 1_000

_ids = bindparam("ids", type_=ARRAY(BigInteger))
_windows = bindparam("windows", type_=ARRAY(DateTime(timezone=True)))

_MARK_ENRICHED = text(
    """
    UPDATE raw_batch
    SET state = 'enriched', enriched_count = event_count - dead_count,
        finished_at = clock_timestamp(),
        last_error = NULL
    WHERE id = ANY(:ids)
    """
).bindparams(_ids)

_SPEND_ATTEMPT = text(
    """
    UPDATE raw_batch
    SET attempts = attempts + 1, last_error = :error, due_at = now() + CAST(:wait AS interval)
    WHERE id = :id AND state = 'pending' AND attempts = :attempts
    """
)

# A batch has one letter, even if it is reopened and dies again: the letter keeps its history.
_MARK_DEAD = text(
    """
    WITH batch AS (
        UPDATE raw_batch
        SET state = 'dead', attempts = attempts + 1, last_error = :error, finished_at = now(),
            dead_count = event_count
        WHERE id = :id AND state = 'pending' AND attempts = :attempts
        RETURNING *
    ),
    again AS (
        UPDATE dead_letter letter
        SET state = CASE WHEN letter.replays + 1 >= :most_replays THEN 'parked' ELSE 'open' END,
            replays = letter.replays + 1, last_failed_at = now(), closed_at = NULL,
            closing_note = NULL, event_count = :due_count, reason_code = :reason,
            message = :error, traceback = :traceback, attempts = batch.attempts,
            rules_version = :rules_version, worker = :worker
        FROM batch
        WHERE letter.batch_id = batch.id AND letter.kind = 'batch' AND letter.state = 'resolved'
        RETURNING letter.id
    )
    INSERT INTO dead_letter (
        kind, batch_id, window_start, event_count, source, reason_code, message, traceback,
        attempts, rules_version, worker
    )
    SELECT 'batch', id, window_start, :due_count, source, :reason, :error, :traceback,
        attempts, :rules_version, :worker
    FROM batch WHERE NOT EXISTS (SELECT FROM again)
    """
)

_REOPEN_DEAD = text(
    """
    WITH letter AS (
        UPDATE dead_letter
        SET state = 'resolved', closed_at = now(), closing_note = 'its window was processed again'
        WHERE kind = 'batch' AND state IN ('open', 'replaying', 'parked')
            AND window_start = ANY(:windows)
        RETURNING batch_id, event_count
    )
    UPDATE raw_batch
    SET state = 'pending', attempts = 0, due_at = now(), finished_at = NULL,
        dead_count = dead_count - letter.event_count
    FROM letter WHERE raw_batch.id = letter.batch_id AND raw_batch.state = 'dead'
    """
).bindparams(_windows)


class Batch(NamedTuple):
    """A claimed batch."""

    id: int
    window_start: datetime
    due_count: int
    """Events to enrich."""
    attempts: int
    dead_count: int = 0
    """How many of its events are dead letters."""


class Death(NamedTuple):
    """Why a batch is not tried again automatically."""

    reason: str
    message: str
    traceback: str | None
    rules_version: str | None
    worker: str


class DueWindow(NamedTuple):
    """The due batches of a window."""

    window_start: datetime
    newest_batch: int
    attempts: int
    """Sum over its due batches."""
    waited: timedelta
    """When the newest of them came due."""
    events: int
    historical: bool = False
    """Whether all of them are historical."""


def claim(
    connection: Connection,
    most_events: int,
    windows: Sequence[datetime] | None = None,
    until: datetime | None = None,
) -> list[Batch]:
    """Lock due batches, oldest window first, until they hold `most_events` or no more are due.

    Live batches come before historical ones. Batches claimed by others are skipped; the claim lasts
    as long as the transaction. What came due after `until` is left. At least one due batch is
    claimed, however large. A batch that has spent an attempt is claimed after the others and alone,
    so that its failure is charged to no other batch.
    """
    wanted = "true" if windows is None else "window_start = ANY(%(windows)s)"
    if until is not None:
        wanted += " AND due_at <= %(until)s"
    parameters = {"windows": list(windows or []), "until": until}
    return _fetch(connection, f"attempts = 0 AND {wanted}", parameters, most_events) or _fetch(
        connection, f"attempts > 0 AND {wanted}", parameters, 0
    )


def now_in(connection: Connection) -> datetime:
    """The time by the store's clock, by which batches come due."""
    moment: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return moment


def enriched_batches(connection: Connection, windows: Sequence[datetime]) -> list[Batch]:
    """The finished batches of these windows, in order."""
    rows = connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM raw_batch
            WHERE state = 'enriched' AND enriched_count > 0 AND window_start = ANY(:windows)
            ORDER BY window_start, id
            """
        ).bindparams(_windows),
        {"windows": list(windows)},
    )
    return [Batch(*row) for row in rows]


def claim_again(connection: Connection, batch: Batch) -> Batch | None:
    """Lock one batch that was claimed before, in its current state: a replay or a `forget` may have
    changed it. None if another process has locked it, or nothing of it is due any more."""
    found = _fetch(connection, "id = %(id)s", {"id": batch.id}, 0)
    return found[0] if found else None


def _fetch(
    connection: Connection, condition: str, parameters: Mapping[str, object], most_events: int
) -> list[Batch]:
    driver = driver_of(connection)
    claimed: list[Batch] = []
    # Rows are locked when fetched, not when selected: unfetched ones stay free for others.
    with driver.cursor(name="claim", row_factory=class_row(Batch)) as cursor:
        cursor.execute(_CLAIM.format(condition=condition).encode(), parameters)
        wanted = 1
        while found := cursor.fetchmany(wanted):
            claimed.extend(found)
            events = sum(batch.due_count for batch in claimed)
            if events >= most_events or len(found) < wanted:
                break
            average = max(1, events // len(claimed))
            wanted = max(1, min(_MOST_FETCHED, (most_events - events) // average))
    return claimed


def pending_events(connection: Connection) -> int:
    """How many events wait to be enriched, due or not."""
    pending: int = connection.execute(
        text(
            """
            SELECT coalesce(sum(event_count - dead_count), 0)::bigint
            FROM raw_batch WHERE state = 'pending'
            """
        )
    ).scalar_one()
    return pending


def due_windows(connection: Connection, grace: timedelta = timedelta(0)) -> list[DueWindow]:
    """The windows with batches that have been due for at least `grace`, in order; by the store's
    clock, like a claim."""
    rows = connection.execute(
        text(
            """
            SELECT window_start, max(id), sum(attempts)::int, now() - max(due_at),
                sum(event_count - dead_count)::int, bool_and(historical)
            FROM raw_batch WHERE state = 'pending' AND due_at <= now() - CAST(:grace AS interval)
            GROUP BY window_start ORDER BY window_start
            """
        ),
        {"grace": grace},
    )
    return [DueWindow(*row) for row in rows]


class QueueDepth(NamedTuple):
    """The batches and events that wait for enrichment."""

    batches: int
    events: int
    oldest: datetime | None
    """When the batch that has waited longest came due."""


def queue_depth(connection: Connection) -> QueueDepth:
    """How much is due now."""
    row = connection.execute(
        text(
            """
            SELECT count(*), coalesce(sum(event_count - dead_count), 0)::bigint, min(due_at)
            FROM raw_batch WHERE state = 'pending' AND due_at <= now()
            """
        )
    ).one()
    return QueueDepth(*row)


class WaitingBatch(NamedTuple):
    """A batch that has failed and will be tried again."""

    window_start: datetime
    due_in: timedelta


def waiting_batches(connection: Connection, windows: Sequence[datetime]) -> list[WaitingBatch]:
    """The pending batches of these windows that have failed before, soonest due first."""
    rows = connection.execute(
        text(
            """
            SELECT window_start, due_at - clock_timestamp() FROM raw_batch
            WHERE state = 'pending' AND attempts > 0 AND window_start = ANY(:windows)
            ORDER BY due_at
            """
        ).bindparams(_windows),
        {"windows": list(windows)},
    )
    return [WaitingBatch(*row) for row in rows]


def mark_enriched(connection: Connection, batches: Sequence[Batch]) -> None:
    """Mark these batches as finished."""
    connection.execute(_MARK_ENRICHED, {"ids": [batch.id for batch in batches]})


def spend_attempt(connection: Connection, batch: Batch, error: str, wait: timedelta) -> None:
    """Record another failure of the batch; it is due again after `wait`."""
    connection.execute(
        _SPEND_ATTEMPT,
        {"id": batch.id, "attempts": batch.attempts, "error": error, "wait": wait},
    )


def mark_dead(connection: Connection, batch: Batch, death: Death, most_replays: int) -> None:
    """Dead-letter the batch after its last failure; if it has a letter from an earlier death, that
    is opened again, or exhausted (state `parked`) after so many replays."""
    connection.execute(
        _MARK_DEAD,
        {
            "id": batch.id,
            "attempts": batch.attempts,
            "due_count": batch.due_count,
            "reason": death.reason,
            "error": death.message,
            "traceback": death.traceback,
            "rules_version": death.rules_version,
            "worker": death.worker,
            "most_replays": most_replays,
        },
    )


def reopen_dead(connection: Connection, windows: Sequence[datetime]) -> int:
    """Make the dead batches of these windows due again; returns how many there were."""
    return connection.execute(_REOPEN_DEAD, {"windows": list(windows)}).rowcount
