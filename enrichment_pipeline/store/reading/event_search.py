"""Searching enriched events, and counting events and signals over time, without private data."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import Connection, text

from enrichment_pipeline.store.ingest.people import (
    ids_of,
    person_join,
    pseudonym_key,
    pseudonym_sql,
)
from enrichment_pipeline.store.reading.handles import (
    as_pseudonym,
    person_handles,
    session_handles,
    session_named,
)
from enrichment_pipeline.store.reading.joining import in_session_sql


class FoundEvent(NamedTuple):
    """An enriched event, in the form that a model may see."""

    occurred_at: datetime
    project: str
    event: str
    event_type: str
    action_type: str
    page: str | None
    """The path's template."""
    description: str
    person: str
    """The person's pseudonym."""
    session_id: str | None
    handle: str | None
    """The session's short name, `s12`, if it is built."""
    person_handle: str | None
    """The person's short name, `p3`, if one of their sessions is built."""


_CONDITIONS = {
    "project": "enriched.project = :project",
    "event_type": "enriched.event_type = :event_type",
    "action_type": "enriched.action_type = :action_type",
    "event": "enriched.event = :event",
    "page": "starts_with(enriched.path_template, :page)",
    "session_id": in_session_sql("enriched"),
    "contains": "strpos(lower(enriched.description), lower(:contains)) > 0",
}


PSEUDONYM = "person_"
"""What the pseudonym of a person begins with."""

_OF_PEOPLE = "enriched.distinct_id = ANY(CAST(:people AS text[]))"

# Hashing each person once is cheap; hashing for each event takes minutes.
_PEOPLE_OF_SESSIONS = """
    SELECT DISTINCT project, distinct_id FROM session_timeline
"""
_PEOPLE_OF_EVENTS = """
    SELECT DISTINCT project, distinct_id FROM enriched_event
    WHERE occurred_at >= :start AND occurred_at < :end
"""


def search_events(
    connection: Connection,
    start: datetime,
    end: datetime,
    *,
    project: str | None = None,
    event_type: str | None = None,
    action_type: str | None = None,
    event: str | None = None,
    page: str | None = None,
    person: str | None = None,
    session_id: str | None = None,
    contains: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[FoundEvent]:
    """The enriched events of this period that match, the newest first.

    `page` is the beginning of a path template, `person` a pseudonym or a distinct_id, `contains` a
    part of the description, in any case.
    """
    given = {
        "project": project,
        "event_type": event_type,
        "action_type": action_type,
        "event": event,
        "page": page,
        "session_id": session_id,
        "contains": contains,
    }
    named = session_named(connection, session_id) if session_id else None
    if named and project in (None, named.project):
        given |= {"project": named.project, "session_id": named.session_id}
    parameters: dict[str, object] = {
        name: value for name, value in given.items() if value is not None
    }
    conditions = [_CONDITIONS[name] for name in parameters]
    if person is not None:
        person = as_pseudonym(connection, person)
        conditions.append(_OF_PEOPLE)
        parameters["people"] = ids_of_person(connection, project, person, start, end)
        if person.startswith(PSEUDONYM):
            # In another project, somebody else may have the same id.
            conditions.append(f"{pseudonym_sql('enriched')} = :person")
            parameters["person"] = person
    found = connection.execute(
        text(
            f"""
            SELECT enriched.occurred_at, enriched.project, enriched.event, enriched.event_type,
                enriched.action_type, enriched.path_template, enriched.description,
                {pseudonym_sql("enriched")}, enriched.session_id, enriched.distinct_id
            FROM enriched_event enriched {person_join("enriched")}
            WHERE enriched.occurred_at >= :start AND enriched.occurred_at < :end
                {"".join(f" AND {condition}" for condition in conditions)}
            ORDER BY enriched.occurred_at DESC, enriched.uuid LIMIT :limit OFFSET :offset
            """
        ),
        parameters
        | {
            "start": start,
            "end": end,
            "limit": limit,
            "offset": offset,
            "pseudonym_key": pseudonym_key(connection),
        },
    )
    rows = found.all()
    sessions = session_handles(
        connection, [(row.project, row.session_id) for row in rows if row.session_id]
    )
    people = person_handles(connection, [(row.project, row.distinct_id) for row in rows])
    return [
        FoundEvent._make(
            (
                *row[:-1],
                sessions.get((row.project, row.session_id)),
                people.get((row.project, row.distinct_id)),
            )
        )
        for row in rows
    ]


def ids_of_person(
    connection: Connection, project: str | None, person: str, start: datetime, end: datetime
) -> list[str]:
    """All ids of a person, given one of the ids, or the pseudonym of somebody who has a session in
    the table or an event in this period."""
    if not person.startswith(PSEUDONYM):
        return ids_of(connection, project, person)
    found: set[str] = set()
    for people in (_PEOPLE_OF_SESSIONS, _PEOPLE_OF_EVENTS):
        rows = connection.execute(
            text(
                f"""
                SELECT one.project, one.distinct_id FROM ({people}) one {person_join("one")}
                WHERE {pseudonym_sql("one")} = :person
                """
            ),
            {
                "start": start,
                "end": end,
                "person": person,
                "pseudonym_key": pseudonym_key(connection),
            },
        )
        for row in rows:
            found.update(ids_of(connection, row.project, row.distinct_id))
        if found:
            break
    return sorted(found)


_PARTS = """
    least(:parts - 1, floor(
        extract(epoch FROM {moment} - CAST(:start AS timestamptz))
        / extract(epoch FROM CAST(:end AS timestamptz) - CAST(:start AS timestamptz)) * :parts
    ))::int
"""
"""The number of the part of the period that holds a time."""

_COUNT_EVENTS = """
    SELECT {part} AS part, {by}, count(*) FROM enriched_event
    WHERE occurred_at >= :start AND occurred_at < :end
        AND (CAST(:project AS text) IS NULL OR project = :project)
    GROUP BY 1, 2 ORDER BY 1, 2
"""
_COUNT_SIGNALS = """
    SELECT {part} AS part, signal, count(*)
    FROM session_timeline, unnest(signals) AS signal
    WHERE started_at >= :start AND started_at < :end
        AND day >= CAST(CAST(:start AS timestamptz) AT TIME ZONE 'UTC' AS date)
        AND day <= CAST(CAST(:end AS timestamptz) AT TIME ZONE 'UTC' AS date)
        AND (CAST(:project AS text) IS NULL OR project = :project)
    GROUP BY 1, 2 ORDER BY 1, 2
"""


def count_over_time(
    connection: Connection,
    by: Literal["event_type", "action_type", "signal"],
    start: datetime,
    end: datetime,
    parts: int,
    project: str | None = None,
) -> Sequence[tuple[int, str, int]]:
    """How many enriched events of each type (or sessions with each kind of signal, by their start)
    are in each of so many equal parts of this period: part (from 0), value, count."""
    if by == "signal":
        statement = _COUNT_SIGNALS.format(part=_PARTS.format(moment="started_at"))
    else:
        statement = _COUNT_EVENTS.format(part=_PARTS.format(moment="occurred_at"), by=by)
    rows = connection.execute(
        text(statement), {"start": start, "end": end, "parts": parts, "project": project}
    )
    return [(row[0], row[1], row[2]) for row in rows]
