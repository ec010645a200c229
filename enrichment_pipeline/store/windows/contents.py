"""The enriched events of a window, as Dagster shows them: counted, and the newest.

How many events a window has in which state belongs to `books`.
"""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from enrichment_pipeline.store.ingest.people import person_join, pseudonym_key, pseudonym_sql
from enrichment_pipeline.store.reading.frames import frame

if TYPE_CHECKING:
    import pandas as pd


def classified(connection: Connection, start: datetime, end: datetime) -> "pd.DataFrame":
    """Enriched events between `start` and `end`, counted: columns minute (UTC), event_type,
    action_type, events."""
    rows = connection.execute(
        text(
            """
            SELECT date_trunc('minute', occurred_at) AS minute, event_type, action_type,
                count(*) AS events
            FROM enriched_event WHERE occurred_at >= :start AND occurred_at < :end
            GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
            """
        ),
        {"start": start, "end": end},
    )
    return frame(rows.all(), columns=["minute", "event_type", "action_type", "events"])


def preview(connection: Connection, start: datetime, end: datetime, most: int) -> "pd.DataFrame":
    """The newest enriched events between `start` and `end`, for people; `person` is a pseudonym."""
    rows = connection.execute(
        text(
            f"""
            SELECT shown.occurred_at, event, event_type, action_type, description,
                {pseudonym_sql("shown")} AS person
            FROM (
                SELECT * FROM enriched_event WHERE occurred_at >= :start AND occurred_at < :end
                ORDER BY occurred_at DESC LIMIT :most
            ) shown {person_join("shown")}
            ORDER BY occurred_at DESC
            """
        ),
        {
            "start": start,
            "end": end,
            "most": most,
            "pseudonym_key": pseudonym_key(connection),
        },
    )
    return frame(rows.all(), columns=list(rows.keys()))
