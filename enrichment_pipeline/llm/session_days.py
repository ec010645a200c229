"""Building the timelines of all sessions of a day, for the table `session_timeline`.

One session in its current state belongs to `sessions`; the SQL to `store.sessions.building`.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from uuid import UUID

from sqlalchemy import Connection

from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.sessions import cut_at_silence, derived_id, people_in_doubt
from enrichment_pipeline.llm.timelines import Timeline, build_timeline
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.people import pseudonym_key, pseudonym_of
from enrichment_pipeline.store.sessions.building import Build, BuiltSession, DayEvents
from enrichment_pipeline.store.sessions.reading import SessionEvents

MOST_TOKENS = 20_000
"""The most tokens of a timeline in the table; the command and the API write longer ones in full."""

_PROGRESS_EVERY = 1_000


@dataclass
class DayReport:
    """The result of building a day's sessions."""

    day: date
    is_whole: bool = False
    """Whether all of its sessions were built, or only those that had changed."""
    sessions: int = 0
    events: int = 0
    signals: Counter[str] = field(default_factory=Counter)
    """How many sessions have each kind of signal."""
    seconds: float = 0.0


def build_day(
    store: Store,
    day: date,
    *,
    is_whole: bool,
    on_progress: Callable[[DayReport], None] = lambda _: None,
) -> DayReport:
    """Build the sessions of a UTC day: all that have an event on it, or those that have new events
    since the last build. One transaction: readers see the earlier state until it is done."""
    report = DayReport(day)
    started = time.monotonic()
    with store.transaction() as connection:
        key = pseudonym_key(connection)
        build = Build(connection, day, is_whole=is_whole)
        report.is_whole = build.is_whole
        found = _build_sessions(connection, build.events(), key, day, report, on_progress)
        build.write_all(found)
        build.finish()
    report.seconds = time.monotonic() - started
    return report


def _build_sessions(
    connection: Connection,
    found: Iterator[DayEvents],
    key: str,
    day: date,
    report: DayReport,
    on_progress: Callable[[DayReport], None],
) -> Iterator[BuiltSession]:
    for one in found:
        for session_id, events in _sessions(one, key, day):
            built = build_session(connection, one.project, session_id, events)
            report.sessions += 1
            report.events += built.events
            report.signals.update(built.signals)
            if report.sessions % _PROGRESS_EVERY == 0:
                on_progress(report)
            yield built


def _sessions(found: DayEvents, key: str, day: date) -> Iterator[tuple[str, SessionEvents]]:
    if found.session_id is not None:
        yield found.session_id, SessionEvents(found.events)
        return
    person = pseudonym_of(key, UUID(found.person))
    for events in cut_at_silence(found.events):
        # A session may have more events before or after the days that were read.
        last = events.last or events[-1]
        if any(_date(moment) == day for moment in (events[0].occurred_at, last.occurred_at)):
            yield derived_id(person, events[0].occurred_at), events


def build_session(
    connection: Connection, project: str, session_id: str, events: SessionEvents
) -> BuiltSession:
    """A session as a row of the table. The person may change, so it is not stored but read with the
    row."""
    people = people_in_doubt(connection, project, events)
    timeline = build_timeline(project, session_id, "", events, people=people)
    return BuiltSession(
        project=project,
        session_id=session_id,
        day=_date(timeline.started_at),
        distinct_id=(events.last or events[-1]).distinct_id,
        started_at=_moment(timeline.started_at),
        ended_at=_moment(timeline.started_at + timeline.seconds),
        events=timeline.events,
        pages=timeline.pages,
        entry=timeline.entry,
        exit=timeline.exit,
        device=timeline.device,
        outline=timeline.outline,
        signals=_kinds(timeline),
        timeline=render(timeline, "text", MOST_TOKENS),
        others=list(timeline.others) or None,
        signal_pages=_places(timeline),
    )


def _kinds(timeline: Timeline) -> list[str]:
    return sorted({signal.kind for signal in timeline.signals})


def _places(timeline: Timeline) -> list[str]:
    return sorted({f"{one.kind} on {one.page}" for one in timeline.signals if one.page})


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _date(seconds: float) -> date:
    return _moment(seconds).date()
