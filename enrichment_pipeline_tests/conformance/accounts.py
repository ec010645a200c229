"""What became of the events and of the messages about them."""

import time
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import text

from enrichment_pipeline_tests.conformance.stage import Stage
from enrichment_pipeline_tests.faults.stage import Load, accounts

_REST_SECONDS = 120.0
_DELIVERED_SECONDS = 10.0

# Commit to commit, as PostgreSQL wrote them down: the acknowledgement follows the first one, and
# the row can be seen from the second on.
_LATENCY = text(
    """
    SELECT percentile_cont(CAST(:shares AS float8[])) WITHIN GROUP (ORDER BY extract(epoch FROM
        pg_xact_commit_timestamp(enriched.xmin) - pg_xact_commit_timestamp(raw.xmin)
    ))
    FROM raw_event raw JOIN enriched_event enriched USING (project, uuid)
    WHERE raw.batch_id > :after
    """
)


class Percentiles(NamedTuple):
    """Of the seconds from the acknowledgement of an event to its enriched row."""

    p50: float
    p99: float


def latency_after(stage: Stage, batch: int) -> Percentiles:
    """Of the events in batches that are newer than this one."""
    with stage.store.transaction() as connection:
        found = connection.execute(_LATENCY, {"shares": [0.5, 0.99], "after": batch}).scalar_one()
    return Percentiles(*found) if found else Percentiles(0.0, 0.0)


def newest_batch(stage: Stage) -> int:
    """The id of the newest one; 0 where there is none."""
    with stage.store.transaction() as connection:
        return int(
            connection.execute(text("SELECT coalesce(max(id), 0) FROM raw_batch")).scalar_one()
        )


def batches_after(stage: Stage, batch: int) -> set[int]:
    """The ids of all that are newer."""
    with stage.store.transaction() as connection:
        found = connection.execute(
            text("SELECT id FROM raw_batch WHERE id > :after"), {"after": batch}
        )
        return set(found.scalars())


class Messages(NamedTuple):
    """What became of the notifications for some batches."""

    batches: int
    never_delivered: int
    """No worker was notified of them: the message was lost, or never sent."""
    repeated: int
    """Deliveries beyond the first of each."""


def messages_about(stage: Stage, batches: Collection[int]) -> Messages:
    """Count the deliveries of these batches."""
    counts = stage.deliveries()
    delivered = [counts[batch] for batch in batches if counts[batch]]
    return Messages(len(batches), len(batches) - len(delivered), sum(delivered) - len(delivered))


def await_rest(stage: Stage, load: Load) -> None:
    """Return once all that was acknowledged is enriched or dead, and what was sent to the workers
    has come, as far as it comes at all."""
    deadline = time.monotonic() + _REST_SECONDS
    while time.monotonic() < deadline:
        found = accounts(stage, load.acknowledged)
        if not found.pending and not found.lost:
            break
        time.sleep(0.2)
    deadline = time.monotonic() + _DELIVERED_SECONDS
    seen, since = stage.deliveries().total(), time.monotonic()
    while time.monotonic() < min(deadline, since + 1.0):
        time.sleep(0.1)
        if (now := stage.deliveries().total()) != seen:
            seen, since = now, time.monotonic()
