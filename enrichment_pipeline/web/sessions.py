"""The pages about sessions: the list, the timeline of one, those of a person."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from enrichment_pipeline.events.masked import masked_id
from enrichment_pipeline.llm.forms import duration_of, shown_lines, timeline_as_data
from enrichment_pipeline.llm.periods import bounds, shown_moment
from enrichment_pipeline.llm.person import person_report
from enrichment_pipeline.llm.person_forms import person_as_data
from enrichment_pipeline.llm.sessions import SessionNotFoundError, timeline_of
from enrichment_pipeline.llm.signals import KINDS
from enrichment_pipeline.llm.timelines import Timeline
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.changes import sessions_watermark
from enrichment_pipeline.store.reading.as_reader import reading
from enrichment_pipeline.store.sessions.listing import list_sessions
from enrichment_pipeline.store.windows.freshness import newest_moment
from enrichment_pipeline.web.given import Given, person_link, session_link
from enrichment_pipeline.web.shown import SECONDS, Elsewhere, Shown

FILTERS = ("signal", "page", "contains", "person", "device", "start", "end", "project", "offset")
OF_SESSION = ("project", "offset")
OF_PERSON = ("start", "end", "project")

_ROWS = 50
_LINES = 1_000
_CITED = re.compile(r"(s[1-9]\d{0,17}):(\d{1,9})(?:[-\u2013]\d{1,9})?")
_PERSON = re.compile(r"p[1-9]\d{0,17}|person_[0-9a-f]{10}")


class _Listed(NamedTuple):
    """A session in a list."""

    name: str
    link: str | None
    started: str
    length: str
    events: int
    device: str | None
    outline: str
    signals: Sequence[str]
    """Their kinds."""
    person: str | None = None
    person_link: str | None = None


class _Found(NamedTuple):
    """A signal of a session."""

    kind: str
    text: str
    second: str
    link: str


def sessions(store: Store, given: Given) -> Shown:
    """The list of sessions."""
    first, last = bounds(given.text("start"), given.text("end"))
    offset = given.offset()
    with reading(store, SECONDS) as connection:
        found = list_sessions(
            connection,
            project=given.text("project"),
            person=given.text("person"),
            start=first,
            end=last,
            signal=given.choice("signal", KINDS),
            contains=given.text("contains"),
            page=given.text("page"),
            device=given.text("device"),
            limit=_ROWS + 1,
            offset=offset,
        )
        newest, built = newest_moment(connection), sessions_watermark(connection)
    listed = []
    for one in found[:_ROWS]:
        name, person = one.handle or masked_id(one.session_id), one.person_handle or one.person
        listed.append(
            _Listed(
                name,
                session_link(name, one.project),
                shown_moment(one.started_at),
                duration_of((one.ended_at - one.started_at).total_seconds()),
                one.events,
                one.device,
                one.outline,
                one.signals,
                person,
                person_link(person, one.project),
            )
        )
    facts = {
        "given": given,
        "kinds": KINDS,
        "sessions": listed,
        "first": offset + 1,
        "newer": given.link("/", offset=max(offset - _ROWS, 0)) if offset else None,
        "older": given.link("/", offset=offset + _ROWS) if len(found) > _ROWS else None,
        "newest": shown_moment(newest) if newest else None,
        "built": shown_moment(built),
    }
    return Shown("sessions.html", facts)


def session(store: Store, given: Given) -> Shown | Elsewhere:
    """The timeline of a session; `s12:34` leads to the lines at its second 34."""
    project = given.text("project")
    try:
        with reading(store, SECONDS) as connection:
            timeline = timeline_of(connection, given.wanted, project=project)
    except SessionNotFoundError:
        cited = _CITED.fullmatch(given.wanted)
        if cited is None:
            raise
        with reading(store, SECONDS) as connection:
            timeline = timeline_of(connection, cited[1], project=project)
        return Elsewhere(_Lines(timeline, given).link(int(cited[2])))
    return Shown("session.html", _Lines(timeline, given).facts())


class _Lines:
    """A timeline in parts of so many lines."""

    def __init__(self, timeline: Timeline, given: Given) -> None:
        self._timeline = timeline
        self._given = given
        self._lines = shown_lines(timeline)
        self.name = timeline.handle or masked_id(timeline.session_id)
        self._path = session_link(self.name) or "/"

    def link(self, second: float) -> str:
        """The address of the lines at a second, or of the next one after it."""
        second = int(f"{second:.0f}")
        later = (at for at, line in enumerate(self._lines) if line.second >= second)
        place = next(later, len(self._lines) - 1)
        return f"{self._part(place // _LINES * _LINES)}#t{self._lines[place].second}"

    def _part(self, offset: int) -> str:
        return self._given.link(self._path, offset=offset)

    def facts(self) -> dict[str, object]:
        """What the page shows."""
        offset = self._given.offset()
        shown = timeline_as_data(self._timeline, [])
        timeline, rest = self._timeline, len(self._lines) - offset - _LINES
        seconds: dict[int, list[object]] = {}
        for line in self._lines[offset : offset + _LINES]:
            seconds.setdefault(line.second, []).append(line)
        return shown | {
            "name": self.name,
            "is_named": timeline.handle is not None,
            "started": _started(timeline),
            "length": duration_of(timeline.seconds),
            "person_link": person_link(timeline.person, timeline.project),
            "found": [
                _Found(one.kind, one.text, f"{one.at:.0f}", self.link(one.at))
                for one in timeline.signals
            ],
            "seconds": seconds,
            "earlier": self._part(max(offset - _LINES, 0)) if offset else None,
            "later": self._part(offset + _LINES) if rest > 0 else None,
        }


def person(store: Store, given: Given) -> Shown:
    """What a person did in a period, over their sessions."""
    first, last = bounds(given.text("start"), given.text("end"))
    with reading(store, SECONDS) as connection:
        report = person_report(
            connection, given.wanted, project=given.text("project"), start=first, end=last
        )
    facts = person_as_data(report)
    name = report.handle or report.person
    facts |= {
        "given": given,
        "path": person_link(name),
        "name": name,
        "start": shown_moment(report.start),
        "end": shown_moment(report.end),
        "first_seen": shown_moment(report.first_seen),
        "events": sum(one.events for one in report.sessions),
        "sessions": [_of_person(one) for one in report.sessions],
        "unfinished": [
            (one.what, one.session, session_link(one.session, report.project), shown_moment(one.at))
            for one in report.unfinished
        ],
    }
    return Shown("person.html", facts)


def _of_person(timeline: Timeline) -> _Listed:
    name = timeline.handle or masked_id(timeline.session_id)
    return _Listed(
        name,
        session_link(name, timeline.project),
        _started(timeline),
        duration_of(timeline.seconds),
        timeline.events,
        timeline.device,
        timeline.outline,
        [*dict.fromkeys(signal.kind for signal in timeline.signals)],
    )


def _started(timeline: Timeline) -> str:
    return shown_moment(datetime.fromtimestamp(timeline.started_at, UTC))


def go(store: Store, given: Given) -> Elsewhere:
    """The page of what is named: `s12`, `s12:34`, `p3`, or an id."""
    name = given.text("to")
    if name is None:
        return Elsewhere("/")
    is_person = _PERSON.fullmatch(name)
    return Elsewhere(person_link(name) if is_person else session_link(name) or "/")
