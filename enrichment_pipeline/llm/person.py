"""One person over several sessions: what they did, what was new to them, what they left unfinished.

What happened in one session belongs to `sessions`; writing it to `person_forms`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.events.masked import masked_id, masked_name
from enrichment_pipeline.llm.entries import Entry
from enrichment_pipeline.llm.pseudonyms import Pseudonyms
from enrichment_pipeline.llm.sessions import (
    SessionNotFoundError,
    as_kept,
    nobody,
    sessions_without_id,
    shown_id,
    timeline_of,
)
from enrichment_pipeline.llm.timelines import Timeline, page_of
from enrichment_pipeline.store.ingest.people import ids_of
from enrichment_pipeline.store.reading.event_search import ids_of_person
from enrichment_pipeline.store.reading.handles import person_handles, person_named
from enrichment_pipeline.store.sessions.of_person import (
    first_times,
    history,
    projects_of_ids,
    sessions_of,
)

PERSON_OF = timedelta(days=7)
"""The period of a question that says none: before the person's newest event."""

MOST_SESSIONS = 100
"""The most sessions of a period that are read: the newest."""

_PSEUDONYM = re.compile(r"person_[0-9a-f]{10}")
_STARTED = re.compile(
    r"\b(?:start(?:ed|s)?|began|begun|initiated|add(?:ed)? to (?:cart|basket))\b", re.I
)


class Unfinished(NamedTuple):
    """What a person began and did not finish, in this session or a later one."""

    what: str
    session: str
    """The handle of the session, or its id."""
    at: datetime


@dataclass(frozen=True)
class PersonReport:
    """What one person did in a period."""

    project: str
    person: str
    """The person's pseudonym."""
    handle: str | None
    """The person's short name, `p3`, if one of their sessions is built."""
    start: datetime
    end: datetime
    first_seen: datetime
    """Of the person's first event at all."""
    sessions: Sequence[Timeline]
    """The newest first."""
    sessions_not_read: int
    """Earlier sessions of the period, beyond `MOST_SESSIONS`."""
    new_pages: Sequence[str]
    """Pages and events that the person had never seen or done before; none if all is new."""
    new_events: Sequence[str]
    unfinished: Sequence[Unfinished]

    @property
    def is_new(self) -> bool:
        """Whether the person was never here before."""
        return self.first_seen >= self.start

    @property
    def signals(self) -> Counter[str]:
        """How many signals of each kind there are."""
        return Counter(signal.kind for one in self.sessions for signal in one.signals)


def person_report(
    connection: Connection,
    who: str,
    *,
    project: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> PersonReport:
    """What a person did in this period; without a start, in the week before its end, or before
    their newest event. `who` is a distinct_id or a pseudonym.

    Raises:
        SessionNotFoundError: the person has no enriched event, or is in several projects.
    """
    project, ids = _find(connection, as_kept(who), project and as_kept(project))
    whose = (project, ids[0])
    seen = history(connection, project, ids)
    if seen is None:
        raise nobody(who, project)
    end = end or max(seen.last_seen, start or seen.last_seen) + timedelta(seconds=1)
    start = start or end - PERSON_OF
    timelines, not_read = _timelines(connection, project, ids, start, end)
    new = [] if seen.first_seen >= start else first_times(connection, project, ids, start, end)
    return PersonReport(
        project=project,
        person=Pseudonyms(connection).of(*whose),
        handle=person_handles(connection, [whose]).get(whose),
        start=start,
        end=end,
        first_seen=seen.first_seen,
        sessions=timelines,
        sessions_not_read=not_read,
        new_pages=list(dict.fromkeys(page for one in new if (page := page_of(one.page)))),
        new_events=[masked_name(one.event) for one in new if one.event],
        unfinished=list(_unfinished(timelines)),
    )


def _find(connection: Connection, who: str, project: str | None) -> tuple[str, list[str]]:
    """The project of a person, and all their ids."""
    if named := person_named(connection, who):
        return named.project, ids_of(connection, named.project, named.distinct_id)
    now = datetime.now(UTC)
    if _PSEUDONYM.fullmatch(who):
        names = Pseudonyms(connection)
        held = ids_of_person(connection, project, who, now - PERSON_OF, now)
        found = [pair for pair in projects_of_ids(connection, held) if names.of(*pair) == who]
    else:
        found = projects_of_ids(connection, ids_of(connection, project, who))
    projects = sorted({name for name, _ in found if project in (None, name)})
    if not projects:
        raise nobody(who, project)
    if len(projects) > 1:
        raise SessionNotFoundError(
            f"{shown_id(who)} is in the projects {', '.join(projects)}: name one"
        )
    ids = {
        one for name, held in found if name == projects[0] for one in ids_of(connection, name, held)
    }
    return projects[0], sorted(ids)


def _timelines(
    connection: Connection, project: str, ids: Sequence[str], start: datetime, end: datetime
) -> tuple[list[Timeline], int]:
    found: list[Timeline] = []
    held = sessions_of(connection, project, ids, start, end)
    for one in held[:MOST_SESSIONS]:
        if one.session_id is None:
            found += sessions_without_id(connection, project, ids, start, end)
        else:
            found.append(timeline_of(connection, one.session_id, project=project))
    found.sort(key=lambda timeline: (-timeline.started_at, timeline.session_id))
    not_read = max(len(held) - MOST_SESSIONS, 0) + max(len(found) - MOST_SESSIONS, 0)
    return found[:MOST_SESSIONS], not_read


def _unfinished(newest_first: Sequence[Timeline]) -> Iterator[Unfinished]:
    """What was begun, and not finished afterwards."""
    open_: dict[str, Unfinished] = {}
    for timeline in reversed(newest_first):
        for entry in timeline.entries:
            for what in _finished(entry, open_):
                del open_[what]
            if begun := _begun(entry):
                moment = datetime.fromtimestamp(timeline.started_at + entry.at, UTC)
                open_[begun] = Unfinished(
                    begun, timeline.handle or masked_id(timeline.session_id), moment
                )
    yield from open_.values()


def _begun(entry: Entry) -> str | None:
    if entry.signal == "form_not_sent":
        return f"form on {entry.page}" if entry.page else "a form"
    is_start = entry.action == "event" and not entry.sends and _STARTED.search(entry.text)
    return entry.text if is_start else None


def _finished(entry: Entry, open_: dict[str, Unfinished]) -> list[str]:
    if entry.action == "submit":
        return [what for what in open_ if what == f"form on {entry.page}"]
    return list(open_) if entry.sends and entry.signal is None else []
