"""The timeline of one session in its current state, even while the session is going on.

Building all sessions of a day belongs to `session_days`; making a timeline to `timelines`.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID

from sqlalchemy import Connection

from enrichment_pipeline.events.people import MAX_ID_LENGTH
from enrichment_pipeline.events.safe_text import safe_text
from enrichment_pipeline.events.text import clean_text
from enrichment_pipeline.llm.pseudonyms import Pseudonyms
from enrichment_pipeline.llm.timelines import Timeline, build_timeline
from enrichment_pipeline.llm.whose import ids_in_doubt
from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.ingest.people import identified_people, ids_of
from enrichment_pipeline.store.reading.handles import (
    person_handles,
    session_handles,
    session_named,
)
from enrichment_pipeline.store.reading.joining import session_joined
from enrichment_pipeline.store.sessions.reading import (
    LONGEST,
    SILENCE,
    SessionEvent,
    SessionEvents,
    events_of_session,
    events_without_session,
    find_people,
    newest_session,
    projects_of_session,
)

_DERIVED_ID = re.compile(r"(?P<person>person_[0-9a-f]{10})@(?P<start>\d{8}T\d{6})Z")
_DAY = 86_400.0
_A_SECOND = timedelta(seconds=1)


class SessionNotFoundError(StoreError):
    """There is no such session, or more than one: one line. The caller adds how to find others."""


def timeline_of(connection: Connection, session_id: str, *, project: str | None = None) -> Timeline:
    """The timeline of a session by its id: the `$session_id` of its events, or, if they have none,
    the id in the list of sessions (`person_3f9a12c4d0@20261127T101502Z`); or by its handle (`s12`).

    Raises:
        SessionNotFoundError: there is no enriched event of such a session, or several projects have
            one.
    """
    session_id, project = as_kept(session_id), project and as_kept(project)
    if found := _DERIVED_ID.fullmatch(session_id):
        start = datetime.strptime(found["start"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return _derived(connection, found["person"], start, project)
    projects = [project] if project else projects_of_session(connection, session_id)
    if len(projects) > 1:
        raise SessionNotFoundError(
            f"session {shown_id(session_id)} is in the projects {', '.join(projects)}: name one"
        )
    events = SessionEvents()
    if projects:
        events = events_of_session(connection, projects[0], session_id)
    if not events:
        named = session_named(connection, session_id)
        if named is None or project not in (None, named.project):
            raise _not_found(session_id, project)
        return timeline_of(connection, named.session_id, project=named.project)
    return _timeline(connection, projects[0], session_id, events)


def newest_timeline_of(
    connection: Connection, distinct_id: str, *, project: str | None = None
) -> Timeline:
    """The timeline of a person's newest session, by any of the person's distinct_ids.

    Raises:
        SessionNotFoundError: the person has no enriched event.
    """
    distinct_id, project = as_kept(distinct_id), project and as_kept(project)
    ids = ids_of(connection, project, distinct_id)
    newest = newest_session(connection, project, ids)
    if newest is None:
        raise nobody(distinct_id, project)
    session_id = newest.session_id or session_joined(
        connection, newest.project, ids, newest.occurred_at, newest.occurred_at
    )
    if session_id is not None:
        return timeline_of(connection, session_id, project=newest.project)
    person = Pseudonyms(connection).of(newest.project, newest.distinct_id)
    return _derived(connection, person, newest.occurred_at, newest.project)


def nobody(who: str, project: str | None) -> SessionNotFoundError:
    """The error that this person has no enriched event."""
    where = f" in project {project}" if project else ""
    return SessionNotFoundError(f"no enriched event of {shown_id(who)}{where}")


def derived_id(person: str, started_at: float) -> str:
    """The id of a session whose events have no session id; `person` is a pseudonym."""
    return f"{person}@{datetime.fromtimestamp(started_at, UTC):%Y%m%dT%H%M%SZ}"


def cut_at_silence(events: Iterable[SessionEvent]) -> Iterator[SessionEvents]:
    """The sessions in a person's events without session ids, in the order of time: cut at 30
    minutes of silence, and at midnight (UTC) if they go on for more than a day."""
    days: list[SessionEvents] = []
    for event in events:
        last = days[-1].last if days else None
        if last and event.occurred_at - last.occurred_at > SILENCE.total_seconds():
            yield from _whole_or_by_day(days)
            days, last = [], None
        if last is None or _day(event) != _day(last):
            days.append(SessionEvents())
        days[-1].add(event)
    if days:
        yield from _whole_or_by_day(days)


def sessions_without_id(
    connection: Connection, project: str, ids: Sequence[str], start: datetime, end: datetime
) -> list[Timeline]:
    """The timelines of a person's sessions whose events have no session id, of those that have an
    event in this period; `ids` are all of the person's."""
    before = start - LONGEST - SILENCE
    events = events_without_session(connection, project, ids, before, end)
    person = Pseudonyms(connection).of(project, ids[0])
    return [
        _timeline(connection, project, derived_id(person, session[0].occurred_at), session)
        for session in cut_at_silence(events)
        if (session.last or session[-1]).occurred_at >= start.timestamp()
    ]


def _whole_or_by_day(days: Sequence[SessionEvents]) -> Iterator[SessionEvents]:
    """The events between two silences, by day, as one session or several."""
    last = days[-1].last or days[-1][-1]
    if last.occurred_at - days[0][0].occurred_at <= LONGEST.total_seconds():
        yield reduce(SessionEvents.join, days)
    else:
        yield from days


def _day(event: SessionEvent) -> int:
    return int(event.occurred_at // _DAY)


def _derived(
    connection: Connection, person: str, moment: datetime, project: str | None
) -> Timeline:
    """The session of a person that covers a moment: late events may have moved its start."""
    start, end = moment - LONGEST - SILENCE, moment + LONGEST + SILENCE
    seconds = moment.timestamp()
    found = find_people(connection, person, moment - SILENCE, moment + SILENCE)
    for name in sorted({name for name, _ in found if project in (None, name)}):
        ids = [distinct_id for of, distinct_id in found if of == name]
        everything = {one for held in ids for one in ids_of(connection, name, held)}
        events = events_without_session(connection, name, sorted(everything), start, end)
        for session in cut_at_silence(events):
            last = session.last or session[-1]
            if session[0].occurred_at - 1 < seconds < last.occurred_at + 1:
                # A person who logged in meanwhile has another pseudonym by now.
                now = Pseudonyms(connection).of(name, last.distinct_id)
                identity = derived_id(now, session[0].occurred_at)
                return _timeline(connection, name, identity, session)
        # Events of that moment may have joined a session whose own events came later.
        around = (moment - _A_SECOND, moment + _A_SECOND)
        if joined := session_joined(connection, name, sorted(everything), *around):
            return timeline_of(connection, joined, project=name)
    raise _not_found(f"{person}@{moment:%Y%m%dT%H%M%SZ}", project)


def _timeline(
    connection: Connection, project: str, session_id: str, events: SessionEvents
) -> Timeline:
    # Of the last event: a person who logged in meanwhile has that id.
    last = events.last or events[-1]
    whose = (project, last.distinct_id)
    person = person_handles(connection, [whose]).get(whose)
    person = person or Pseudonyms(connection).of(*whose)
    is_open = time.time() - last.occurred_at < SILENCE.total_seconds()
    people = people_in_doubt(connection, project, events)
    timeline = build_timeline(project, session_id, person, events, is_open=is_open, people=people)
    this = (project, session_id)
    timeline.handle = session_handles(connection, [this]).get(this)
    return timeline


def people_in_doubt(
    connection: Connection, project: str, events: Sequence[SessionEvent]
) -> Mapping[str, UUID]:
    """The people of the ids in a session, if there may be several."""
    ids = ids_in_doubt(events)
    return identified_people(connection, project, ids) if ids else {}


def as_kept(name: str) -> str:
    """An id in the form of columns."""
    return clean_text(name.encode(errors="replace").decode(), MAX_ID_LENGTH)


def shown_id(name: str) -> str:
    """An id for the one line of an error."""
    return safe_text(name, MAX_ID_LENGTH)


def _not_found(session_id: str, project: str | None) -> SessionNotFoundError:
    where = f" in project {project}" if project else ""
    return SessionNotFoundError(
        f"no session {shown_id(session_id)}{where} among the enriched events"
    )
