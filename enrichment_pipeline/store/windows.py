"""Which windows there are: where the partitions of Dagster start, kept in the store so that every
process knows the same.

PostgreSQL's own partitions, one for each day that has events, belong to `partitions`.
"""

import time
from datetime import datetime, timedelta
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, text

from enrichment_pipeline.store.engine import Store

MAX_WINDOWS = 100_000
"""Dagster's recommended limit of partitions for an asset (docs.dagster.io, partitioning assets)."""

_NAME = "partition_start"

_LOOK_AGAIN_SECONDS = 1.0

# For each engine the start of the windows, and when it is to be looked up again: it moves rarely,
# and asking costs each commit a transaction.
_starts: WeakKeyDictionary[Engine, tuple[datetime, float]] = WeakKeyDictionary()


def partition_start(connection: Connection) -> datetime:
    """Start of the first window, in UTC."""
    value = connection.execute(
        text("SELECT value FROM store_setting WHERE name = :name"), {"name": _NAME}
    ).scalar_one()
    return datetime.fromisoformat(value)


def remember_first_partition(connection: Connection, start: datetime) -> None:
    """Set where the windows of a new store start; an older store keeps its own."""
    connection.execute(
        text(
            """
            INSERT INTO store_setting (name, value) VALUES (:name, :start)
            ON CONFLICT (name) DO NOTHING
            """
        ),
        {"name": _NAME, "start": start.isoformat()},
    )


def move_partition_start(connection: Connection, start: datetime) -> None:
    """Let the windows start at `start`."""
    connection.execute(
        text("UPDATE store_setting SET value = :start WHERE name = :name"),
        {"name": _NAME, "start": start.isoformat()},
    )


def ensure_window(store: Store, oldest: datetime | None) -> tuple[datetime, datetime | None]:
    """Make sure that there is a window for `oldest`, where it is given: the start of the first one,
    and the same once more where it was moved back for this."""
    start, until = _starts.get(store.engine, (None, 0.0))
    if start is not None and time.monotonic() < until and (oldest is None or oldest >= start):
        return start, None
    with store.transaction() as connection:
        moved = widen_partition_start(connection, oldest) if oldest else None
        start = moved or partition_start(connection)
    _starts[store.engine] = (start, time.monotonic() + _LOOK_AGAIN_SECONDS)
    return start, moved


def widen_partition_start(connection: Connection, oldest: datetime) -> datetime | None:
    """Make sure that there is a window for `oldest`.

    Returns the new start, which is that day's, or None where there was a window already.
    """
    day = oldest.replace(hour=0, minute=0, second=0, microsecond=0)
    widened = connection.execute(
        text(
            """
            UPDATE store_setting SET value = :start
            WHERE name = :name AND value::timestamptz > :oldest
            """
        ),
        {"name": _NAME, "start": day.isoformat(), "oldest": oldest},
    )
    return day if widened.rowcount else None


def oldest_possible_start(now: datetime, window: timedelta) -> datetime:
    """The earliest time that a window can have without there being too many of them."""
    return now - MAX_WINDOWS * window
