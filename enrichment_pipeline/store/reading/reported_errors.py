"""Reading the payloads of events that report errors, the newest first.

What a payload says of the error belongs to `events.error_detail`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline.store.ingest.people import person_join, person_sql


class ReportedError(NamedTuple):
    """An enriched event that may report an error, with its payload."""

    payload: bytes
    event: str
    project: str
    occurred_at: datetime
    allowed: str | None
    """The kinds of private data that its project allows models to see (`email+phone`)."""
    path_template: str | None
    device: str | None
    session_id: str | None
    person: str
    """A key that is the same for all events of a person."""


def event_names(connection: Connection) -> list[str]:
    """The names of all events."""
    rows = connection.execute(text("SELECT DISTINCT event FROM enrichment_input ORDER BY 1"))
    return [row.event for row in rows]


# Few inputs have these names, and an index finds their events: all events of a day are many.
_READ = f"""
    SELECT raw.payload, raw.event, raw.project, raw.occurred_at, input.unmasked,
        enriched.path_template, enriched.device, enriched.session_id,
        {person_sql("enriched")}::text
    FROM enrichment_input input JOIN raw_event raw USING (input_key)
    JOIN enriched_event enriched ON enriched.occurred_at = raw.occurred_at
        AND enriched.uuid = raw.uuid AND enriched.project = raw.project
    {person_join("enriched")}
    WHERE input.event = ANY(:events) AND raw.occurred_at >= :start AND raw.occurred_at < :end
        AND enriched.occurred_at >= :start AND enriched.occurred_at < :end
        AND (CAST(:project AS text) IS NULL OR raw.project = :project)
    ORDER BY raw.occurred_at DESC, raw.uuid LIMIT :most
"""


def read_errors(
    connection: Connection,
    events: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    project: str | None,
    most: int,
) -> list[ReportedError]:
    """The enriched events of these names in this period, the newest first, at most so many.

    An event whose raw event retention has dropped is not among them.
    """
    rows = connection.execute(
        text(_READ),
        {"events": list(events), "start": start, "end": end, "project": project, "most": most},
    )
    return [ReportedError(decompress(row[0]), *row[1:]) for row in rows]
