"""Reading what one person did: which ids they have, their sessions, and what they did for the first
time. The events of a session belong to `reading`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Text, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

_OF_THEM = "FROM enriched_event WHERE distinct_id = ANY(:ids) AND project = :project"


class SessionOfPerson(NamedTuple):
    """A session of a person; those events that have no session id are one."""

    session_id: str | None
    events: int


class FirstTime(NamedTuple):
    """A page or a custom event that a person had never seen or done before."""

    page: str | None
    """The path's template."""
    event: str | None
    at: datetime


class History(NamedTuple):
    """When a person was here."""

    first_seen: datetime
    last_seen: datetime


def projects_of_ids(connection: Connection, ids: Sequence[str]) -> list[tuple[str, str]]:
    """The projects in which each of these ids has enriched events."""
    rows = connection.execute(
        _with_ids(
            "SELECT DISTINCT project, distinct_id FROM enriched_event "
            "WHERE distinct_id = ANY(:ids) ORDER BY 1, 2"
        ),
        {"ids": list(ids)},
    )
    return [(row.project, row.distinct_id) for row in rows]


def history(connection: Connection, project: str, ids: Sequence[str]) -> History | None:
    """When the person with these ids was here; None without an enriched event."""
    row = connection.execute(
        _with_ids(f"SELECT min(occurred_at), max(occurred_at) {_OF_THEM}"),
        {"ids": list(ids), "project": project},
    ).one()
    return History(*row) if row[0] else None


def sessions_of(
    connection: Connection, project: str, ids: Sequence[str], start: datetime, end: datetime
) -> list[SessionOfPerson]:
    """The sessions that have an event of this person in this period, the newest first."""
    rows = connection.execute(
        _with_ids(
            f"""
            SELECT session_id, count(*) {_OF_THEM} AND occurred_at >= :start AND occurred_at < :end
            GROUP BY 1 ORDER BY max(occurred_at) DESC, 1
            """
        ),
        {"ids": list(ids), "project": project, "start": start, "end": end},
    )
    return [SessionOfPerson(*row) for row in rows]


def first_times(
    connection: Connection, project: str, ids: Sequence[str], start: datetime, end: datetime
) -> list[FirstTime]:
    """The pages that this person saw, and the custom events that they did, for the first time in
    this period, in the order of time."""
    rows = connection.execute(
        _with_ids(
            f"""
            SELECT page, event, min(occurred_at) AS at FROM (
                SELECT path_template AS page, NULL AS event, occurred_at {_OF_THEM}
                    AND path_template IS NOT NULL
                UNION ALL
                SELECT NULL, event, occurred_at {_OF_THEM} AND NOT starts_with(event, '$')
            ) done
            GROUP BY 1, 2 HAVING min(occurred_at) >= :start AND min(occurred_at) < :end
            ORDER BY 3, 1, 2
            """
        ),
        {"ids": list(ids), "project": project, "start": start, "end": end},
    )
    return [FirstTime(*row) for row in rows]


def _with_ids(statement: str) -> TextClause:
    return text(statement).bindparams(bindparam("ids", type_=ARRAY(Text)))
