"""When each part that must not stop was last seen.

What follows from one that stopped belongs to `alerts`.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

_SENSOR = "_sensor"

DUE_WINDOWS_SENSOR = f"due_windows{_SENSOR}"
"""Dagster's sensor without which nothing is enriched, at each tick that did not fail."""

SENSORS_BEGAN = "sensors_began"
"""Since when that sensor ticks without a long pause."""

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


def sensor_heartbeat(sensor: str) -> str:
    """The name of the heartbeat of a sensor."""
    return f"{sensor}{_SENSOR}"


def sensor_ticks(seen: Mapping[str, datetime]) -> dict[str, datetime]:
    """Of what was last seen, the sensors by their names, but for `DUE_WINDOWS_SENSOR`."""
    return {
        name.removesuffix(_SENSOR): at
        for name, at in seen.items()
        if name.endswith(_SENSOR) and name != DUE_WINDOWS_SENSOR
    }


def forget_other_sensors(connection: Connection, sensors: Collection[str]) -> None:
    """Of the sensors, only these are there and switched on: no other is missed."""
    connection.execute(
        text("DELETE FROM heartbeat WHERE name LIKE :sensors AND name <> ALL(:kept)").bindparams(
            bindparam("kept", type_=ARRAY(Text))
        ),
        {
            "sensors": f"%\\{_SENSOR}",
            "kept": [DUE_WINDOWS_SENSOR, *map(sensor_heartbeat, sensors)],
        },
    )
