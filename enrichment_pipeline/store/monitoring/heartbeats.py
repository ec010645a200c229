"""Heartbeats: when each part that must not stop was last seen.

The alerts about a part that stopped belong to `alerts`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

_SENSOR = "_sensor"

DUE_WINDOWS_SENSOR = f"due_windows{_SENSOR}"
"""The Dagster sensor that starts enrichment, at each tick that did not fail."""

SENSORS_BEGAN = "sensors_began"
"""Since when that sensor ticks without a long pause."""

LIVE_EVENT = "live_event"
"""The newest live event. It is stored, because retention may drop its batch, or an import may add
many newer batches."""

WATCH = "watch"
"""The last evaluation of alerts."""

WATCH_BEGAN = "watch_began"
"""Since when alerts are evaluated without a long pause."""


def record_heartbeat(connection: Connection, name: str, at: datetime | None = None) -> None:
    """Record that this part was seen, now or `at` a given time."""
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
    """When each part was last seen; parts that were never seen are missing."""
    rows = connection.execute(text("SELECT name, seen_at FROM heartbeat"))
    return {row.name: row.seen_at for row in rows}


def sensor_heartbeat(sensor: str) -> str:
    """The name of the heartbeat of a sensor."""
    return f"{sensor}{_SENSOR}"


def sensor_ticks(seen: Mapping[str, datetime]) -> dict[str, datetime]:
    """The sensors among the parts last seen, by name, without `DUE_WINDOWS_SENSOR`."""
    return {
        name.removesuffix(_SENSOR): at
        for name, at in seen.items()
        if name.endswith(_SENSOR) and name != DUE_WINDOWS_SENSOR
    }


def forget_other_sensors(connection: Connection, sensors: Collection[str]) -> None:
    """Forget the heartbeats of all sensors but these, which exist and are switched on: no other is
    expected to tick."""
    connection.execute(
        text("DELETE FROM heartbeat WHERE name LIKE :sensors AND name <> ALL(:kept)").bindparams(
            bindparam("kept", type_=ARRAY(Text))
        ),
        {
            "sensors": f"%\\{_SENSOR}",
            "kept": [DUE_WINDOWS_SENSOR, *map(sensor_heartbeat, sensors)],
        },
    )
