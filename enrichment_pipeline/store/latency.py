"""How long it takes from the acknowledgement of an event to its enriched row.

Kept in the store, because runs of Dagster and workers come and go; the API shows it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, Double, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

BUCKETS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper bounds, in seconds."""

# The slot is that of the server's process: those of containers have the same numbers in each. In
# order, lest two transactions of one slot wait for each other.
# From the begin of the transaction that took the events in, a little before the acknowledgement,
# to a little before the commit of this one. Imports of the past say nothing of either.
_OBSERVE = text(
    """
    INSERT INTO enrichment_latency AS known (slot, bucket, events, seconds)
    SELECT pg_backend_pid() % 64, bucket, sum(events), sum(events * seconds)
    FROM (
        SELECT width_bucket(seconds, :bounds) AS bucket, events, seconds
        FROM (
            SELECT event_count - dead_count AS events,
                greatest(extract(epoch FROM clock_timestamp() - created_at), 0)::float8 AS seconds
            FROM raw_batch WHERE id = ANY(:ids) AND NOT historical
        ) AS waited
    ) AS sorted
    GROUP BY bucket ORDER BY bucket
    ON CONFLICT (slot, bucket) DO UPDATE
    SET events = known.events + excluded.events, seconds = known.seconds + excluded.seconds
    """
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)), bindparam("bounds", type_=ARRAY(Double)))


class Latency(NamedTuple):
    """A histogram over all events ever enriched here."""

    counts: list[int]
    """For each of BUCKETS how many events took less, and more than the bound before; the last one
    is of those that took longer than all."""
    seconds: float
    """Their sum."""


def observe_latency(connection: Connection, batch_ids: Sequence[int]) -> None:
    """Count the events of these batches, which are enriched in this transaction; the last thing it
    does, because other processes of the same slot wait for it."""
    connection.execute(
        _OBSERVE,
        {"ids": list(batch_ids), "bounds": list(BUCKETS)},
    )


def latency(connection: Connection) -> Latency:
    """The histogram as it stands."""
    rows = connection.execute(
        text("SELECT bucket, sum(events), sum(seconds) FROM enrichment_latency GROUP BY bucket")
    ).all()
    counts = [0] * (len(BUCKETS) + 1)
    for bucket, events, _ in rows:
        counts[bucket] = int(events)
    return Latency(counts, float(sum(row[2] for row in rows)))
