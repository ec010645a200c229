"""The books: accepted, enriched, dead and pending events.

Reading and summing them belongs here. What is broken belongs to `dead_letters`, the events of a
window to `contents`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

MOST_COUNTED = 50_000
"""Events of a window that may be counted row by row each time that some of them are enriched."""

_windows = bindparam("windows", type_=ARRAY(DateTime(timezone=True)))


class WindowBooks(NamedTuple):
    """The books of one window, in events."""

    window_start: datetime
    accepted: int
    enriched: int
    dead: int
    pending: int

    @property
    def balances(self) -> bool:
        """Whether every accepted event is accounted for."""
        return self.accepted == self.enriched + self.dead + self.pending


_BATCH_BOOKS = """
    SELECT window_start, sum(event_count)::bigint, sum(enriched_count)::bigint,
        sum(dead_count)::bigint,
        coalesce(sum(event_count - dead_count) FILTER (WHERE state = 'pending'), 0)::bigint
    FROM raw_batch
    WHERE {condition}
    GROUP BY window_start ORDER BY window_start
"""

# Counted from the rows themselves, not from the counters of the batches.
_COUNTED_BOOKS = """
    WITH shown AS (SELECT unnest(CAST(:windows AS timestamptz[])) AS window_start),
    raw AS (
        SELECT window_start, count(*) AS events
        FROM raw_batch JOIN raw_event ON batch_id = id
        WHERE window_start = ANY(:windows) AND occurred_at >= :start AND occurred_at < :end
        GROUP BY 1
    ),
    letters AS (
        SELECT window_start, sum(event_count) AS events,
            sum(event_count) FILTER (WHERE kind = 'event' AND uuid IS NULL) AS never_raw
        FROM dead_letter WHERE window_start = ANY(:windows) AND state <> 'resolved'
        GROUP BY 1
    ),
    waiting AS (
        SELECT window_start, sum(event_count - dead_count) AS events
        FROM raw_batch WHERE window_start = ANY(:windows) AND state = 'pending'
        GROUP BY 1
    )
    SELECT shown.window_start,
        coalesce(raw.events, 0) + coalesce(letters.never_raw, 0),
        (
            -- Those that were kept longer than their raw events are in no books any more.
            SELECT count(*) FROM enriched_event JOIN raw_batch ON id = batch_id
            WHERE occurred_at >= shown.window_start
                AND occurred_at < shown.window_start + CAST(:length AS interval)
        ),
        coalesce(letters.events, 0),
        coalesce(waiting.events, 0)
    FROM shown
    LEFT JOIN raw USING (window_start)
    LEFT JOIN letters USING (window_start)
    LEFT JOIN waiting USING (window_start)
    ORDER BY shown.window_start
"""


def books(connection: Connection, windows: Sequence[datetime] | None = None) -> list[WindowBooks]:
    """The books of these windows, or of all with events, from the counters of the batches."""
    condition = "true" if windows is None else "window_start = ANY(:windows)"
    statement = text(_BATCH_BOOKS.format(condition=condition))
    if windows is None:
        rows = connection.execute(statement)
    else:
        rows = connection.execute(statement.bindparams(_windows), {"windows": list(windows)})
    return [WindowBooks(*row) for row in rows]


def large_windows(connection: Connection, windows: Sequence[datetime]) -> list[datetime]:
    """Those of these windows that hold too many events to count them again and again."""
    kept = books(connection, windows)
    return [window.window_start for window in kept if window.accepted > MOST_COUNTED]


def counted_books(
    connection: Connection, windows: Sequence[datetime], length: timedelta
) -> list[WindowBooks]:
    """The books of these windows of `length`, counted row by row: slower, and the proof."""
    if not windows:
        return []
    rows = connection.execute(
        text(_COUNTED_BOOKS).bindparams(_windows),
        {
            "windows": list(windows),
            "length": length,
            "start": min(windows),
            "end": max(windows) + length,
        },
    )
    return [WindowBooks(row[0], *(int(count) for count in row[1:])) for row in rows]
