"""How fresh the store is: its newest event, its newest windows, how long enrichment takes.

The books of a window belong to `books`, the watermark of sessions to `changes`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate

from sqlalchemy import Connection, text

_NEWEST_BATCHES = 1_000
_RECENTLY = timedelta(minutes=10)


def newest_moment(connection: Connection) -> datetime | None:
    """When the newest enriched event happened; None if there is none."""
    moment: datetime | None = connection.execute(
        text("SELECT max(occurred_at) FROM enriched_event")
    ).scalar_one()
    return moment


def newest_enriched_window(connection: Connection) -> datetime | None:
    """The newest window that has enriched events; None if there is none."""
    moment = newest_moment(connection)
    if moment is None:
        return None
    row = connection.execute(
        text(
            """
            SELECT max(window_start) FROM raw_batch
            WHERE window_start > CAST(:moment AS timestamptz) - interval '1 hour'
                AND window_start <= :moment
            """
        ),
        {"moment": moment},
    )
    window: datetime | None = row.scalar_one()
    return window


def newest_windows(connection: Connection, most: int) -> list[datetime]:
    """The newest windows that have events, the newest first."""
    # Steps from one window to the next by the index: a window can have any number of batches.
    rows = connection.execute(
        text(
            """
            WITH RECURSIVE newest (window_start, place) AS (
                SELECT max(window_start), 1 FROM raw_batch
                UNION ALL
                SELECT (
                    SELECT max(batch.window_start) FROM raw_batch batch
                    WHERE batch.window_start < newest.window_start
                ), place + 1
                FROM newest WHERE window_start IS NOT NULL AND place < :most
            )
            SELECT window_start FROM newest WHERE window_start IS NOT NULL
            ORDER BY window_start DESC
            """
        ),
        {"most": most},
    )
    return list(rows.scalars())


def recent_latency(connection: Connection, quantiles: Sequence[float]) -> list[float]:
    """The seconds from the commit of an event to its enriched row, at these quantiles (0.99: at
    most so long for 99 of 100 events). Measured on the newest batches enriched in the last ten
    minutes, without historical ones; empty if there are none.
    """
    rows = connection.execute(
        text(
            """
            SELECT extract(epoch FROM finished_at - created_at)::float8 AS seconds, enriched_count
            FROM (SELECT * FROM raw_batch ORDER BY id DESC LIMIT :most) newest
            WHERE state = 'enriched' AND enriched_count > 0 AND NOT historical
                AND finished_at > now() - CAST(:recently AS interval)
            ORDER BY seconds
            """
        ),
        {"most": _NEWEST_BATCHES, "recently": _RECENTLY},
    ).all()
    if not rows:
        return []
    upto = list(accumulate(row.enriched_count for row in rows))
    return [rows[bisect_left(upto, quantile * upto[-1])].seconds for quantile in quantiles]
