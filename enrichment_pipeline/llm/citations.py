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

Verdict = Literal[
    "ok", "exists", "no such session", "no such line", "no such person", "does not say so"
]
"""`ok`: it says what the sentence quotes. `exists`: the sentence quotes nothing, so that there was
nothing to compare."""

RIGHT = frozenset({"ok", "exists"})
"""The verdicts of citations that are not wrong."""

_CITATION = re.compile(
    r"(?<![\w:/.-])([sp])([1-9]\d{0,17})(?::(\d{1,9})(?:[-\u2013](\d{1,9}))?)?(?!\w)"
)
# A sentence ends at a line's end, or at a full stop that a space follows.
_SENTENCE_END = re.compile(r"\n+|(?<=[.!?\u3002\uff01\uff1f])\s+(?![\[(]?[sp]\d)")
_QUOTED = re.compile(
    r"\"([^\"\n]+)\"|\u201c([^\u201d\n]+)\u201d|\u00ab([^\u00bb\n]+)\u00bb|`([^`\n]+)`"
)
_TIMES = re.compile(r"\s*[\u00d7x]\s*(\d+)")
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
    """The lines that it names, or of a second without one the nearest; none for a whole session or
    a person."""
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
            quoted = _quoted(claim)
            missing = [str(one) for one in quoted if not one.is_in(said)]
            for one in named:
                verdict = one.verdict
                if verdict == "exists" and one.said and quoted:
                    verdict = "does not say so" if missing else "ok"
                yield Citation(one.cited, verdict, missing, one.lines, claim.strip())

    def _named(self, found: re.Match[str]) -> _Named:
        cited, first, last = found[0], found[3], found[4]
        if found[1] == "p":
            is_there = person_named(self._connection, f"p{found[2]}") is not None
            return _Named(cited, "exists" if is_there else "no such person", [], "")
        timeline = self._timeline(f"s{found[2]}")
        if timeline is None:
            return _Named(cited, "no such session", [], "")
        if first is None:
            return _Named(cited, "exists", [], _plain(_whole(timeline)))
        start, end = int(first), int(last or first)
        entries = [entry for entry in timeline.entries if start <= _second(entry) <= end]
        if not entries:
            nearest = min(timeline.entries, key=lambda entry: abs(_second(entry) - start))
            return _Named(cited, "no such line", [_line(nearest)], "")
        said = "\n".join(f"{_line(entry)} {entry.signal or ''}" for entry in entries)
        return _Named(cited, "exists", [_line(entry) for entry in entries], _plain(said))

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


def _second(entry: Entry) -> int:
    """As the timeline shows it."""
    return int(f"{entry.at:.0f}")


def _line(entry: Entry) -> str:
    page = entry.page or ""
    return text_line(entry, f" on {page}" if page not in entry.text else "")


def _whole(timeline: Timeline) -> str:
    lines = [f"{_line(entry)} {entry.signal or ''}" for entry in timeline.entries]
    head = [timeline.outline, timeline.device or "", *(one.text for one in timeline.signals)]
    return "\n".join([*head, *lines])


class _Quote(NamedTuple):
    """What a sentence quotes."""

    text: str
    times: str = ""
    """How often in a row, where the sentence says so."""

    def __str__(self) -> str:
        return f"{self.text} \u00d7 {self.times}" if self.times else self.text

    def is_in(self, said: str) -> bool:
        """Whether lines say this."""
        text = _plain(self.text)
        if not self.times:
            return text in said
        # Behind what is quoted may stand the page.
        return bool(re.search(rf'{re.escape(text)}"?(?: on \S+)? \u00d7 {self.times}\b', said))


def _quoted(claim: str) -> list[_Quote]:
    without = _CITATION.sub(" ", claim)
    quotes = []
    for found in _QUOTED.finditer(without):
        times = _TIMES.match(without, found.end())
        text = next(filter(None, found.groups()))
        quotes.append(_Quote(text, times[1] if times else ""))
    pages = [_Quote(page) for page in _PAGE.findall(_QUOTED.sub(" ", without))]
    return list(dict.fromkeys([*quotes, *pages]))


def _plain(text: str) -> str:
    return _SPACES.sub(" ", text).strip().strip(".,;:").lower()
