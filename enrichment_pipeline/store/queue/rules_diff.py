"""What other rules would change in the enriched events; nothing is written.

Applying the rules belongs to `enrichment.rules_diff`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Connection, text


class Kept(NamedTuple):
    """Enriched events of one name with the same classification."""

    event: str
    event_type: str
    action_type: str
    rules_version: str
    events: int


class Said(NamedTuple):
    """The classification of a name and a sub-type under some rules."""

    event: str
    sub_type: str | None
    event_type: str
    action_type: str


class NameChange(NamedTuple):
    """Enriched events of one name whose classification would differ."""

    event: str
    was: str
    """Event type and action type, as `custom/click`."""
    is_now: str
    events: int
    without_raw: int
    """How many of these have no raw event any more and stay as they are."""
    windows: Sequence[datetime]
    """The windows that hold them."""
    sample: str
    """The description of one of them."""
    uuid: UUID
    """Its uuid."""


def kept(connection: Connection) -> list[Kept]:
    """All enriched events, counted by name and classification."""
    rows = connection.execute(
        text(
            """
            SELECT event, event_type, action_type, rules_version, count(*)
            FROM enriched_event GROUP BY 1, 2, 3, 4
            """
        )
    )
    return [Kept(*row) for row in rows]


def sub_types(connection: Connection, events: Sequence[str]) -> list[tuple[str, str | None]]:
    """The sub-types of the events with these names."""
    rows = connection.execute(
        text("SELECT DISTINCT event, sub_type FROM enrichment_input WHERE event = ANY(:events)"),
        {"events": list(events)},
    )
    return [(row.event, row.sub_type) for row in rows]


def changes(connection: Connection, said: Sequence[Said], window: timedelta) -> list[NameChange]:
    """The enriched events whose classification differs from the given one, most frequent first."""
    rows: Sequence[Mapping[str, object]] = [one._asdict() for one in said]
    found = connection.execute(
        text(
            """
            WITH said AS MATERIALIZED (
                SELECT * FROM json_to_recordset(CAST(:said AS json))
                    AS said (event text, sub_type text, event_type text, action_type text)
            )
            SELECT enriched.event,
                enriched.event_type || '/' || enriched.action_type AS was,
                said.event_type || '/' || said.action_type AS is_now,
                count(*) AS events,
                count(*) FILTER (WHERE raw.uuid IS NULL) AS without_raw,
                array_agg(DISTINCT
                    date_bin(:window, enriched.occurred_at, '1970-01-01 00:00+00')) AS windows,
                min(enriched.description) AS sample,
                (array_agg(enriched.uuid ORDER BY enriched.description))[1] AS uuid
            FROM enriched_event enriched
            LEFT JOIN raw_event raw ON raw.occurred_at = enriched.occurred_at
                AND raw.uuid = enriched.uuid AND raw.project = enriched.project
            LEFT JOIN enrichment_input input ON input.input_key = raw.input_key
            JOIN said ON said.event = enriched.event
                AND said.sub_type IS NOT DISTINCT FROM input.sub_type
            WHERE enriched.event = ANY(:events)
                AND (enriched.event_type, enriched.action_type)
                    IS DISTINCT FROM (said.event_type, said.action_type)
            GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3
            """
        ),
        {
            "said": msgspec.json.encode(rows).decode(),
            "window": window,
            "events": sorted({one.event for one in said}),
        },
    )
    return [NameChange(*row) for row in found]
