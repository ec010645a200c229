"""The enriched events of windows, as Dagster shows them: counted, and the newest.

How many events a window has in which state belongs to `books`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

_windows = bindparam("windows", type_=ARRAY(DateTime(timezone=True)))

# The bounds of all windows too: PostgreSQL plans with the partitions between them.
_IN_WINDOW = """
    occurred_at >= :start AND occurred_at < :end
    AND occurred_at >= window_start AND occurred_at < window_start + CAST(:length AS interval)
"""


class Counted(NamedTuple):
    """Enriched events of one minute and one kind."""

    minute: datetime
    event_type: str
    action_type: str
    events: int


class Described(NamedTuple):
    """An enriched event, for people."""

    occurred_at: datetime
    description: str


def classified(
    connection: Connection, windows: Sequence[datetime], length: timedelta
) -> Mapping[datetime, Sequence[Counted]]:
    """The enriched events of each of these windows of `length`, counted by minute and kind."""
    rows = connection.execute(
        text(
            f"""
            SELECT window_start, minute, event_type, action_type, events
            FROM unnest(:windows) AS window_start, LATERAL (
                SELECT date_trunc('minute', occurred_at) AS minute, event_type, action_type,
                    count(*) AS events
                FROM enriched_event WHERE {_IN_WINDOW} GROUP BY 1, 2, 3
            ) found
            ORDER BY 1, 2, 3, 4
            """
        ).bindparams(_windows),
        _bounds(windows, length),
    )
    found = defaultdict(list)
    for window, *counted in rows:
        found[window].append(Counted(*counted))
    return found


def preview(
    connection: Connection, windows: Sequence[datetime], length: timedelta, most: int
) -> Mapping[datetime, Sequence[Described]]:
    """The newest enriched events of each of these windows, at most so many of each."""
    rows = connection.execute(
        text(
            f"""
            SELECT window_start, occurred_at, description
            FROM unnest(:windows) AS window_start, LATERAL (
                SELECT occurred_at, description FROM enriched_event WHERE {_IN_WINDOW}
                ORDER BY occurred_at DESC LIMIT :most
            ) found
            ORDER BY window_start, occurred_at DESC
            """
        ).bindparams(_windows),
        {**_bounds(windows, length), "most": most},
    )
    found = defaultdict(list)
    for window, *shown in rows:
        found[window].append(Described(*shown))
    return found


def _bounds(windows: Sequence[datetime], length: timedelta) -> dict[str, object]:
    # Without a window, no event is between the bounds.
    start, end = (min(windows), max(windows) + length) if windows else (None, None)
    return {"windows": list(windows), "length": length, "start": start, "end": end}
