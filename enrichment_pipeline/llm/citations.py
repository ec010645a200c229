"""Citations in a text about users: which sessions, lines and people it names, whether they exist,
and whether they say what the text quotes.

`s12` is a session, `s12:34` its lines at second 34, `s12:34-40` those of a time, `p3` a person.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.llm.entries import Entry
from enrichment_pipeline.llm.forms import text_line
from enrichment_pipeline.llm.sessions import SessionNotFoundError, timeline_of
from enrichment_pipeline.llm.timelines import Timeline
from enrichment_pipeline.store.reading.handles import person_named, session_named

MOST_CITATIONS = 200
"""The most citations of a text that are checked."""

Verdict = Literal["ok", "no such session", "no such line", "no such person", "does not say so"]

_CITATION = re.compile(
    r"(?<![\w:/.-])([sp])([1-9]\d{0,17})(?::(\d{1,9})(?:[-\u2013](\d{1,9}))?)?(?!\w)"
)
# A sentence ends at a line's end, or at a full stop that a space follows.
_SENTENCE_END = re.compile(r"\n+|(?<=[.!?\u3002\uff01\uff1f])\s+(?![\[(]?[sp]\d)")
_QUOTED = re.compile(
    r"\"([^\"\n]+)\"|\u201c([^\u201d\n]+)\u201d|\u00ab([^\u00bb\n]+)\u00bb|`([^`\n]+)`"
)
_PAGE = re.compile(r"(?<![\w/:.])/[\w:/._~%-]*[\w/]")
_SPACES = re.compile(r"\s+")


class Citation(NamedTuple):
    """A citation, and what became of it."""

    cited: str
    """As it is written: `s12:34`."""
    verdict: Verdict
    missing: Sequence[str]
    """What the sentence around it quotes, and no cited line says."""
    lines: Sequence[str]
    """The lines that it names; none for a whole session or a person."""
    claim: str
    """The sentence around it."""


class _Named(NamedTuple):
    """What one citation names."""

    cited: str
    verdict: Verdict
    lines: Sequence[str]
    said: str
    """All text in which a quotation is looked for."""


def check_citations(connection: Connection, text: str) -> list[Citation]:
    """The citations of a text, in its order, each with its verdict.

    What stands in quotes in a sentence, and pages, must be said by one of the lines (or sessions)
    that the sentence cites; upper and lower case are one.
    """
    return list(_Checker(connection).check(text))


class _Checker:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._timelines: dict[str, Timeline | None] = {}
        self._checked = 0

    def check(self, text: str) -> Iterator[Citation]:
        for claim in _SENTENCE_END.split(text):
            found = list(_CITATION.finditer(claim))[: MOST_CITATIONS - self._checked]
            self._checked += len(found)
            named = [self._named(one) for one in found]
            said = "\n".join(one.said for one in named)
            missing = [one for one in _quoted(claim) if _plain(one) not in said]
            for one in named:
                is_wrong = one.verdict == "ok" and missing and one.said
                verdict: Verdict = "does not say so" if is_wrong else one.verdict
                yield Citation(one.cited, verdict, missing, one.lines, claim.strip())

    def _named(self, found: re.Match[str]) -> _Named:
        cited, first, last = found[0], found[3], found[4]
        if found[1] == "p":
            is_there = person_named(self._connection, f"p{found[2]}") is not None
            return _Named(cited, "ok" if is_there else "no such person", [], "")
        timeline = self._timeline(f"s{found[2]}")
        if timeline is None:
            return _Named(cited, "no such session", [], "")
        if first is None:
            return _Named(cited, "ok", [], _plain(_whole(timeline)))
        entries = [
            entry
            for entry in timeline.entries
            if int(first) <= int(f"{entry.at:.0f}") <= int(last or first)
        ]
        said = "\n".join(f"{_line(entry)} {entry.signal or ''}" for entry in entries)
        verdict: Verdict = "ok" if entries else "no such line"
        return _Named(cited, verdict, [_line(entry) for entry in entries], _plain(said))

    def _timeline(self, handle: str) -> Timeline | None:
        if handle not in self._timelines:
            self._timelines[handle] = self._read(handle)
        return self._timelines[handle]

    def _read(self, handle: str) -> Timeline | None:
        named = session_named(self._connection, handle)
        if named is None:
            return None
        try:
            return timeline_of(self._connection, named.session_id, project=named.project)
        except SessionNotFoundError:
            return None


def _line(entry: Entry) -> str:
    page = entry.page or ""
    return text_line(entry, f" on {page}" if page not in entry.text else "")


def _whole(timeline: Timeline) -> str:
    lines = [f"{_line(entry)} {entry.signal or ''}" for entry in timeline.entries]
    head = [timeline.outline, timeline.device or "", *(one.text for one in timeline.signals)]
    return "\n".join([*head, *lines])


def _quoted(claim: str) -> list[str]:
    without = _CITATION.sub(" ", claim)
    quoted = [next(filter(None, found.groups())) for found in _QUOTED.finditer(without)]
    pages = _PAGE.findall(_QUOTED.sub(" ", without))
    return list(dict.fromkeys([*quoted, *pages]))


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text).strip().strip(".,;:").lower()
