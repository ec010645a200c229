"""When each part that must not stop was last seen.

What follows from one that stopped belongs to `alerts`.
"""

from datetime import datetime

from sqlalchemy import Connection, text

DUE_WINDOWS_SENSOR = "due_windows_sensor"
"""Dagster's sensor, at each of its ticks."""

LIVE_EVENT = "live_event"
"""The newest event that came by itself. Kept, because its batch may be dropped by retention, or lie
beneath those of an import."""

WATCH = "watch"
"""The last look at what there is to alert of."""

WATCH_BEGAN = "watch_began"
"""Since when there were such looks without a long pause."""


def beat(connection: Connection, name: str, at: datetime | None = None) -> None:
    """The part of this name was seen, now or `at` that moment."""
    connection.execute(
        text(
            """
            INSERT INTO heartbeat (name, seen_at) VALUES (:name, coalesce(:at, now()))
            ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at
            """
        ),
        {"name": name, "at": at},
    )


def last_seen(connection: Connection) -> dict[str, datetime]:
    """When each part was last seen; those that never were are missing."""
    rows = connection.execute(text("SELECT name, seen_at FROM heartbeat"))
    return {row.name: row.seen_at for row in rows}
