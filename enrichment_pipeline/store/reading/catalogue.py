"""The catalogue: event names, their classification, and a sample of each."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text


class CatalogueRow(NamedTuple):
    """The events of one name and classification."""

    event: str
    event_type: str
    action_type: str
    events: int
    first_seen: datetime
    last_seen: datetime
    sample: str
    """The description of one of them; masked."""


def catalogue(
    connection: Connection,
    *,
    project: str | None = None,
    contains: str | None = None,
    limit: int = 100,
) -> list[CatalogueRow]:
    """The names of events with their classification, the most frequent first; `contains` is a part
    of the name, in any case."""
    rows = connection.execute(
        text(
            """
            SELECT event, event_type, action_type, count(*), min(occurred_at), max(occurred_at),
                min(description)
            FROM enriched_event
            WHERE (CAST(:project AS text) IS NULL OR project = :project)
                AND (CAST(:contains AS text) IS NULL OR strpos(lower(event), lower(:contains)) > 0)
            GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT :limit
            """
        ),
        {"project": project, "contains": contains, "limit": limit},
    )
    return [CatalogueRow(*row) for row in rows]
