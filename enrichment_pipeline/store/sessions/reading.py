"""Reading the events of a session.

The list of sessions belongs to `listing`, writing their table to `building`.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.ingest.people import (
    person_join,
    pseudonym_key,
    pseudonym_sql,
)
from enrichment_pipeline.store.reading.joining import joined_of_ids_sql

SILENCE = timedelta(minutes=30)
"""The silence that ends a session whose events have no session id, and have joined none."""

LONGEST = timedelta(hours=24)
"""The longest session whose events have no session id; a longer one is cut at midnight, UTC."""


class SessionEvent(NamedTuple):
    """The parts of an event for a timeline. Without its classification, which users rename."""

    occurred_at: float
    """Unix time."""
    event: str
    description: str
    path_template: str | None
    distinct_id: str
    device: str | None
    touch: str | None = None
    """See `events.touches`; None for other events."""
    tab: int | None = None
    """See `events.tabs`; None if unknown."""


MOST_EVENTS = 20_000
"""The most events of one session that are read: of a longer one the first, and the total. More
lines would not fit a timeline of the table, and a server's session can have millions."""

_FETCHED_AT_ONCE = 5_000


class SessionEvents(list[SessionEvent]):
    """The events of one session, in the order of time; of a very long one the first."""

    def __init__(self, events: Iterable[SessionEvent] = ()) -> None:
        super().__init__()
        self.total = 0
        """The number of all its events."""
        self.last: SessionEvent | None = None
        for event in events:
            self.add(event)

    def add(self, event: SessionEvent) -> None:
        """Add an event that is later than those before."""
        if self.total < MOST_EVENTS:
            self.append(event)
        self.total += 1
        self.last = event

    def join(self, later: "SessionEvents") -> "SessionEvents":
        """These events, followed by the later ones."""
        joined = SessionEvents(self)
        if self.total == len(self):
            joined.extend(later[: MOST_EVENTS - len(self)])
        joined.total, joined.last = self.total + later.total, later.last or self.last
        return joined

    def with_joined(self, others: "Sequence[SessionEvent]") -> "SessionEvents":
        """These events and others, which may have occurred between them."""
        both = SessionEvents(sorted([*self, *others], key=itemgetter(0)))
        if self.last and both.last and self.last.occurred_at > both.last.occurred_at:
            both.last = self.last
        both.total = self.total + len(others)
        return both


EVENT_COLUMNS = """
    extract(epoch FROM occurred_at)::float8, event, description, path_template, distinct_id, device,
    touch, tab
"""
"""The columns of `enriched_event` that make a `SessionEvent`."""


class NewestEvent(NamedTuple):
    """Where a person's newest event is."""

    project: str
    session_id: str | None
    distinct_id: str
    occurred_at: datetime


def projects_of_session(connection: Connection, session_id: str) -> list[str]:
    """The projects that have events of a session with this id."""
    rows = connection.execute(
        text("SELECT DISTINCT project FROM enriched_event WHERE session_id = :id ORDER BY 1"),
        {"id": session_id},
    )
    return list(rows.scalars())


_OF_SESSION = "FROM enriched_event WHERE session_id = :id AND project = :project"


def events_of_session(connection: Connection, project: str, session_id: str) -> SessionEvents:
    """The enriched events of a session, in the order of time, with those that have joined it."""
    own = _own_events(connection, project, session_id)
    if not own:
        return own
    rows = connection.execute(
        text(
            f"""
            SELECT {EVENT_COLUMNS} FROM ({joined_of_ids_sql()}) joined
            JOIN enriched_event event USING (project, uuid, occurred_at)
            WHERE joined.session_id = :session ORDER BY occurred_at, uuid LIMIT :most
            """
        ).bindparams(bindparam("ids", type_=ARRAY(Text))),
        {
            "project": project,
            "session": session_id,
            "ids": sorted({event.distinct_id for event in own}),
            "start": _moment(own[0]),
            "end": _moment(own.last or own[-1]),
            "most": MOST_EVENTS,
        },
    )
    joined = [SessionEvent(*row) for row in rows]
    return own.with_joined(joined) if joined else own


def _moment(event: SessionEvent) -> datetime:
    return datetime.fromtimestamp(event.occurred_at, UTC)


def _own_events(connection: Connection, project: str, session_id: str) -> SessionEvents:
    of = {"id": session_id, "project": project}
    first = f"SELECT {EVENT_COLUMNS} {_OF_SESSION} ORDER BY occurred_at, uuid LIMIT :most"
    rows = connection.execute(text(first), {**of, "most": MOST_EVENTS})
    events = SessionEvents(SessionEvent(*row) for row in rows)
    if events.total == MOST_EVENTS:
        last = f"SELECT {EVENT_COLUMNS} {_OF_SESSION} ORDER BY occurred_at DESC, uuid DESC LIMIT 1"
        count = connection.execute(text(f"SELECT count(*) {_OF_SESSION}"), of).scalar_one()
        events.total = int(count)
        events.last = SessionEvent(*connection.execute(text(last), of).one())
    return events


def events_without_session(
    connection: Connection,
    project: str,
    distinct_ids: Sequence[str],
    start: datetime,
    end: datetime,
) -> Iterator[SessionEvent]:
    """The enriched events of a person without session ids that have joined no session, in the order
    of time; streamed, because there can be millions."""
    rows = connection.execute(
        text(
            f"""
            WITH joined AS MATERIALIZED ({joined_of_ids_sql()})
            SELECT {EVENT_COLUMNS} FROM enriched_event event
            WHERE session_id IS NULL AND distinct_id = ANY(:ids) AND project = :project
                AND occurred_at >= :start AND occurred_at < :end
                AND (occurred_at, uuid) NOT IN (SELECT occurred_at, uuid FROM joined)
            ORDER BY occurred_at, uuid
            """
        ).bindparams(bindparam("ids", type_=ARRAY(Text))),
        {"ids": list(distinct_ids), "project": project, "start": start, "end": end},
        execution_options={"yield_per": _FETCHED_AT_ONCE},
    )
    return (SessionEvent(*row) for row in rows)


def find_people(
    connection: Connection, pseudonym: str, start: datetime, end: datetime
) -> list[tuple[str, str]]:
    """Project and distinct_id of the people who have this pseudonym, or had it before one of their
    ids was joined to another, and have events without a session id in that period."""
    rows = connection.execute(
        text(
            f"""
            SELECT DISTINCT event.project, event.distinct_id
            FROM (
                SELECT DISTINCT project, distinct_id FROM enriched_event
                WHERE session_id IS NULL AND occurred_at >= :start AND occurred_at < :end
            ) event {person_join("event")}
            WHERE {pseudonym_sql("event")} = :pseudonym OR EXISTS (
                SELECT FROM (
                    SELECT event.project, event.distinct_id
                    UNION ALL
                    SELECT other.project, other.distinct_id FROM person other
                    WHERE other.project = event.project AND other.person_id = person.person_id
                ) former
                -- As long as an id is joined to no other.
                CROSS JOIN (SELECT CAST(NULL AS uuid) AS person_id) person
                WHERE {pseudonym_sql("former")} = :pseudonym
            )
            """
        ),
        {
            "start": start,
            "end": end,
            "pseudonym": pseudonym,
            "pseudonym_key": pseudonym_key(connection),
        },
    )
    return [(row.project, row.distinct_id) for row in rows]


# People who are active now, or very active, are among the newest events; others have few entries in
# the index. PostgreSQL would use one plan for all, and read everything for people without events.
_NEWEST_OF_ALL = 5_000
_OF_THEM = "distinct_id = ANY(:ids) AND (CAST(:project AS text) IS NULL OR project = :project)"
_NEWEST = (
    f"""
    SELECT project, session_id, distinct_id, occurred_at FROM (
        SELECT project, session_id, distinct_id, occurred_at FROM enriched_event
        ORDER BY occurred_at DESC LIMIT {_NEWEST_OF_ALL}
    ) newest
    WHERE {_OF_THEM} ORDER BY occurred_at DESC LIMIT 1
    """,
    f"""
    WITH theirs AS MATERIALIZED (
        SELECT project, session_id, distinct_id, occurred_at FROM enriched_event WHERE {_OF_THEM}
    )
    SELECT * FROM theirs ORDER BY occurred_at DESC LIMIT 1
    """,
)


def newest_session(
    connection: Connection, project: str | None, distinct_ids: Sequence[str]
) -> NewestEvent | None:
    """The newest enriched event of these ids."""
    for statement in _NEWEST:
        row = connection.execute(
            text(statement).bindparams(bindparam("ids", type_=ARRAY(Text))),
            {"ids": list(distinct_ids), "project": project},
        ).one_or_none()
        if row:
            return NewestEvent(*row)
    return None


def newest_event_since(
    connection: Connection, since: datetime, other_than: str
) -> NewestEvent | None:
    """The newest enriched event since then in any project but `other_than`."""
    row = connection.execute(
        text(
            """
            SELECT project, session_id, distinct_id, occurred_at FROM enriched_event
            WHERE occurred_at >= :since AND project <> :other_than
            ORDER BY occurred_at DESC LIMIT 1
            """
        ),
        {"since": since, "other_than": other_than},
    ).one_or_none()
    return NewestEvent(*row) if row else None


def most_varied_session(connection: Connection, project: str) -> str | None:
    """Of this project's newest thousand events, the session with the most different ones."""
    found = connection.execute(
        text(
            """
            SELECT session_id FROM (
                SELECT session_id, description FROM enriched_event
                WHERE project = :project AND session_id IS NOT NULL
                ORDER BY occurred_at DESC LIMIT 1000
            ) newest GROUP BY 1 ORDER BY count(DISTINCT description) DESC, 1 LIMIT 1
            """
        ),
        {"project": project},
    ).scalar_one_or_none()
    return None if found is None else str(found)
