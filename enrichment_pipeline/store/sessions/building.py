"""The events of a day, session by session, and writing the table of session timelines.

How a timeline is made belongs to `llm`; reading the table to `reading`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

from psycopg import sql
from sqlalchemy import Connection, CursorResult, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.database.transactions import driver_of
from enrichment_pipeline.store.queue.changes import take_day
from enrichment_pipeline.store.reading.joining import NEAR, all_ids_sql, joined_sql
from enrichment_pipeline.store.sessions.reading import EVENT_COLUMNS, SessionEvent

_DAY = timedelta(days=1)
_FETCHED_AT_ONCE = 5_000
# A long timeline has 80 KB.
_WRITTEN_AT_ONCE = 200


class BuiltSession(NamedTuple):
    """A row of `session_timeline`."""

    project: str
    session_id: str
    day: date
    distinct_id: str
    started_at: datetime
    ended_at: datetime
    events: int
    pages: int
    entry: str | None
    exit: str | None
    device: str | None
    outline: str
    signals: Sequence[str]
    timeline: str
    others: Sequence[str] | None
    """A distinct_id of each other person."""
    signal_pages: Sequence[str]
    """Kind and page of the signals, as `rage_click on /checkout`."""


class DayEvents(NamedTuple):
    """The events of one session, or (`session_id` is None) of one person without session ids."""

    project: str
    session_id: str | None
    person: str
    """The person's id if there is no session id; else empty."""
    events: Iterator[SessionEvent]
    """In the order of time; to be read before the next session is requested."""


def forget_sessions(connection: Connection, of: Mapping[str, object]) -> None:
    """Remove the sessions in which people did something on a day, under any of their ids; other
    people's part of them is built again. `of` has people (distinct_ids), project (None: all), start
    and end (of the day)."""
    connection.execute(
        text(
            """
            WITH theirs AS (
                SELECT project, session_id FROM enriched_event
                WHERE occurred_at >= :start AND occurred_at < :end AND distinct_id = ANY(:people)
                UNION
                SELECT project, session_id FROM session_timeline
                WHERE distinct_id = ANY(:people) OR others && :people
                UNION
                SELECT session.project, session.session_id
                FROM person one
                JOIN person other
                    ON other.project = one.project AND other.person_id = one.person_id
                JOIN session_timeline session
                    ON session.project = other.project AND session.distinct_id = other.distinct_id
                WHERE one.distinct_id = ANY(:people)
            ),
            gone AS (
                DELETE FROM session_timeline session
                WHERE ended_at >= :start AND started_at < :end
                    AND (CAST(:project AS text) IS NULL OR project = :project)
                    AND (project, session_id) IN (SELECT project, session_id FROM theirs)
                RETURNING day
            )
            INSERT INTO enriched_change (consumer, window_start)
            SELECT DISTINCT 'sessions', day::timestamp AT TIME ZONE 'UTC' FROM gone
            """
        ).bindparams(bindparam("people", type_=ARRAY(Text))),
        {name: of[name] for name in ("people", "project", "start", "end")},
    )


def forget_sessions_of_day(connection: Connection, day: date) -> None:
    """Remove the sessions that began on a day."""
    connection.execute(text("DELETE FROM session_timeline WHERE day = :day"), {"day": day})
    take_day(connection, day)


class Build:
    """The build of one day's sessions, in one transaction: reads its events, writes its sessions.

    `is_whole` builds all sessions that have an event on that day; otherwise only those that have
    changed since the last build, if these are known.
    """

    def __init__(self, connection: Connection, day: date, *, is_whole: bool) -> None:
        self._connection = connection
        self._day = day
        self._start = datetime.combine(day, time(), UTC)
        # Before the events are read: an event that arrives meanwhile is a change of its own.
        changes = take_day(connection, day)
        self.is_whole = is_whole or changes.is_whole
        self._batch_ids = changes.batch_ids
        connection.execute(text("SET LOCAL work_mem = '128MB'"))
        for name, columns in _TABLES.items():
            connection.execute(text(f"CREATE TEMPORARY TABLE {name} ({columns}) ON COMMIT DROP"))
        self._want(_WANTED if self.is_whole else _CHANGED)
        # Most stores have few events without a session id, or none.
        if not self.is_whole or self._run(_IS_ANY_QUIET).scalar_one():
            self._want(_PARTICIPANTS)
            if self._run(_QUIET).rowcount:
                self._want(_ALSO_WANTED)
                self._want(_PARTICIPANTS)
                self._run(_JOINED)

    def _want(self, statement: str) -> None:
        """Add to the sessions to build; PostgreSQL plans badly without its statistics."""
        self._run(statement)
        self._connection.execute(text("ANALYZE wanted_session"))

    def _run(self, statement: str) -> CursorResult[Any]:
        return self._connection.execute(text(statement), self._parameters)

    @property
    def _parameters(self) -> dict[str, object]:
        return {
            "start": self._start,
            "end": self._start + _DAY,
            "from": self._start - _DAY,
            "to": self._start + 2 * _DAY,
            "batch_ids": self._batch_ids,
        }

    def events(self) -> Iterator[DayEvents]:
        """The sessions of the day, and the people with events without session ids; with the day
        before and after, so that sessions across midnight are whole."""
        yield from self._stream(_WITH_SESSION)
        yield from self._stream(_WITHOUT_SESSION)

    def _stream(self, statement: str) -> Iterator[DayEvents]:
        driver = driver_of(self._connection)
        bounds = {"start": self._start - _DAY, "end": self._start + 2 * _DAY}
        # Raw driver rows, without SQLAlchemy's: a million of them are read in a third of the time.
        with driver.cursor(name="session_events") as cursor:
            cursor.itersize = _FETCHED_AT_ONCE
            # Some people are servers, with millions of events: these are never held all at once.
            for whose, rows in groupby(cursor.execute(sql.SQL(statement), bounds), _whose):
                project, session_id, person = whose
                events = (SessionEvent(*row[len(whose) :]) for row in rows)
                yield DayEvents(project, session_id, person, events)

    def write_all(self, sessions: Iterable[BuiltSession]) -> None:
        """Store the built sessions while events are still being read on the same connection."""
        for some in _batched(sessions, _WRITTEN_AT_ONCE):
            driver = driver_of(self._connection)
            with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
                for session in some:
                    copy.write_row(session)

    def finish(self) -> None:
        """Replace the earlier sessions by the new ones."""
        self._connection.execute(text(_STALE_DERIVED), self._parameters)
        if self.is_whole:
            self._connection.execute(text(_STALE), {"day": self._day})
        self._connection.execute(text(_REPLACE))


_whose = itemgetter(0, 1, 2)


def _batched(sessions: Iterable[BuiltSession], size: int) -> Iterator[list[BuiltSession]]:
    waiting = iter(sessions)
    while some := list(islice(waiting, size)):
        yield some


_COPY = f"COPY built_session ({', '.join(BuiltSession._fields)}) FROM STDIN"

_PARTS = """
    event.occurred_at, event.uuid, event.event, event.description, event.path_template,
    event.distinct_id, event.device, event.touch, event.tab
"""

_TABLES = {
    "built_session": "LIKE session_timeline INCLUDING DEFAULTS",
    # The sessions to build, and who was in them.
    "wanted_session": "project text, session_id text, distinct_id text",
    "quiet_person": "project text, distinct_id text, person text",
    "joined_event": "project text, uuid uuid, occurred_at timestamptz, session_id text",
}
_WANTED = """
    INSERT INTO wanted_session
    SELECT DISTINCT project, session_id, distinct_id
    FROM enriched_event WHERE occurred_at >= :start AND occurred_at < :end
"""
_CHANGED = """
    INSERT INTO wanted_session
    SELECT DISTINCT raw.project, raw.session_id, raw.distinct_id
    FROM raw_event raw
    WHERE raw.batch_id = ANY(CAST(:batch_ids AS bigint[]))
        AND raw.occurred_at >= :start AND raw.occurred_at < :end
"""
_IS_ANY_QUIET = """
    SELECT EXISTS (
        SELECT FROM enriched_event
        WHERE session_id IS NULL AND occurred_at >= :from AND occurred_at < :to
    )
"""

_NEAR = f"interval '{NEAR.total_seconds():.0f}s'"
_SEEN = "SELECT DISTINCT project, distinct_id FROM wanted_session"
# All ids of the people whose events without session ids may have come to belong elsewhere.
_QUIET = f"""
    INSERT INTO quiet_person
    WITH who AS MATERIALIZED ({all_ids_sql(_SEEN)})
    SELECT who.* FROM who JOIN (
        SELECT project, person FROM who JOIN wanted_session wanted USING (project, distinct_id)
        WHERE wanted.session_id IS NULL
        UNION
        SELECT project, person FROM who JOIN enriched_event event USING (project, distinct_id)
        WHERE event.session_id IS NULL AND occurred_at >= :from AND occurred_at < :to
    ) quiet USING (project, person)
"""
_WANTED_ONES = """(
    SELECT DISTINCT project, session_id FROM wanted_session WHERE session_id IS NOT NULL
) wanted"""
# An event may have joined another session than before: all of their sessions are built.
_ALSO_WANTED = f"""
    INSERT INTO wanted_session
    SELECT DISTINCT project, session_id, distinct_id
    FROM quiet_person JOIN enriched_event USING (project, distinct_id)
    WHERE session_id IS NOT NULL AND occurred_at >= CAST(:start AS timestamptz) - {_NEAR}
        AND occurred_at < CAST(:end AS timestamptz) + {_NEAR}
"""
# Events without a session id of anybody who was in these sessions may have joined them.
_PARTICIPANTS = f"""
    INSERT INTO wanted_session
    SELECT DISTINCT project, session_id, event.distinct_id
    FROM enriched_event event JOIN {_WANTED_ONES} USING (project, session_id)
    WHERE occurred_at >= :from AND occurred_at < :to
"""
_JOINED = f"""
    INSERT INTO joined_event
    {joined_sql(all_ids_sql(_SEEN), ":from", ":to")}
"""

_WITH_SESSION = f"""
    SELECT project, session_id, '', {EVENT_COLUMNS}
    FROM (
        SELECT project, session_id, {_PARTS}
        FROM enriched_event event JOIN {_WANTED_ONES} USING (project, session_id)
        WHERE event.occurred_at >= %(start)s AND event.occurred_at < %(end)s
        UNION ALL
        SELECT project, joined.session_id, {_PARTS}
        FROM joined_event joined JOIN {_WANTED_ONES} USING (project, session_id)
        JOIN enriched_event event USING (project, uuid, occurred_at)
    ) event
    ORDER BY project, session_id, occurred_at, uuid
"""
_WITHOUT_SESSION = f"""
    SELECT project, NULL, person, {EVENT_COLUMNS}
    FROM quiet_person JOIN enriched_event event USING (project, distinct_id)
    WHERE session_id IS NULL AND occurred_at >= %(start)s AND occurred_at < %(end)s
        AND NOT EXISTS (
            SELECT FROM joined_event joined WHERE joined.project = event.project
                AND joined.uuid = event.uuid AND joined.occurred_at = event.occurred_at
        )
    ORDER BY project, person, occurred_at, uuid
"""

# A late event, or a login, can cut such sessions at other places.
_STALE_DERIVED = """
    DELETE FROM session_timeline session USING quiet_person quiet
    WHERE session.project = quiet.project AND session.distinct_id = quiet.distinct_id
        AND session.session_id LIKE 'person\\_%@%'
        AND session.started_at >= :start AND session.started_at < :end
        AND NOT EXISTS (
            SELECT FROM built_session WHERE built_session.project = session.project
                AND built_session.session_id = session.session_id
        )
"""
_STALE = """
    DELETE FROM session_timeline session
    WHERE day = :day AND NOT EXISTS (
        SELECT FROM built_session WHERE built_session.project = session.project
            AND built_session.session_id = session.session_id
    )
"""
# A session keeps its number; new ones get theirs in the order of time.
_REPLACE = f"""
    INSERT INTO session_timeline ({", ".join(BuiltSession._fields)}, number)
    SELECT {", ".join(f"built.{name}" for name in BuiltSession._fields)},
        coalesce(kept.number, nextval('session_number'))
    FROM built_session built LEFT JOIN session_timeline kept USING (project, session_id)
    ORDER BY built.started_at, built.project, built.session_id
    ON CONFLICT (project, session_id) DO UPDATE SET
        ({", ".join(BuiltSession._fields[2:])}, built_at, number) = (
            {", ".join(f"excluded.{name}" for name in BuiltSession._fields[2:])}, now(),
            coalesce(session_timeline.number, excluded.number)
        )
"""
