"""Signals in a session: rage clicks, forms not sent, back and forth, errors.

Pure; found in the entries of a timeline, which are marked.
"""

import re
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from enrichment_pipeline.llm.entries import Entry
from enrichment_pipeline.wording import counted

# Declining an offer or a cookie is deliberate.
_ERROR = re.compile(
    r"(?<![a-z])(?:errors?|exceptions?|fail(?:s|ed|ures?)?|crash(?:ed|es)?"
    r"|(?:payment|card|charge|transaction)[^a-z]+(?:was[^a-z]+)?declined)(?![a-z])",
    re.I,
)
_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

KINDS = ("rage_click", "dead_click", "error", "form_not_sent", "back_and_forth")
"""Every kind of signal."""

_RAGE_TIMES = 4
_RAGE_SECONDS = 3.0
_FEWEST_VIEWS = 4


class Signal(NamedTuple):
    """A part of a session that deserves attention."""

    kind: str
    """One of `KINDS`."""
    at: float
    """Seconds after the start of the session."""
    text: str
    """What and where, in a few words."""


class RageWatch:
    """Decides for each click in a session, in the order of time, whether it is a rage click: the
    fourth on the same element within three seconds, or a further one."""

    def __init__(self) -> None:
        self._clicks: dict[str, deque[float]] = {}

    def is_rage(self, what: str, at: float) -> bool:
        """Whether this click, on the element `what`, is a rage click."""
        clicks = self._clicks.setdefault(what, deque(maxlen=_RAGE_TIMES))
        clicks.append(at)
        return len(clicks) == _RAGE_TIMES and at - clicks[0] <= _RAGE_SECONDS


@lru_cache(maxsize=8_192)
def is_error(event: str) -> bool:
    """Whether the name of an event says that something went wrong."""
    return event == "$exception" or bool(_ERROR.search(_CAMEL_HUMP.sub("_", event)))


def find_signals(entries: Sequence[Entry]) -> list[Signal]:
    """The signals of a session, in the order of time; the entries that show them are marked."""
    signals = [*_clicks_and_errors(entries), *_forms(entries), *_back_and_forth(entries)]
    return sorted(signals, key=lambda signal: signal.at)


def _clicks_and_errors(entries: Sequence[Entry]) -> list[Signal]:
    found: list[Signal] = []
    rage_until = -_RAGE_SECONDS
    for entry in entries:
        if entry.action in {"rage_click", "dead_click"}:
            entry.signal = entry.action
        if entry.signal is None:
            continue
        if entry.signal == "rage_click":
            # It goes on even if events caused by the clicks come between them: one signal.
            goes_on = entry.at - rage_until < _RAGE_SECONDS
            rage_until = entry.until
            if goes_on:
                continue
        found.append(Signal(entry.signal, entry.at, _where(entry)))
    return found


def _where(entry: Entry) -> str:
    return f"{entry.text} on {entry.page}" if entry.page else entry.text


def _forms(entries: Sequence[Entry]) -> list[Signal]:
    """Pages on which a field was filled in, and nothing sent afterwards."""
    started: dict[str, Entry] = {}
    for entry in entries:
        page = entry.page or ""
        # A selection alone usually sorts or filters a list.
        if entry.action == "change" and not entry.text.startswith("select"):
            started.setdefault(page, entry)
        elif entry.action == "submit":
            started.pop(page, None)
        elif entry.sends and entry.signal is None:
            started.clear()
    found: list[Signal] = []
    for page, entry in started.items():
        entry.signal = entry.signal or "form_not_sent"
        where = page or "a page"
        found.append(Signal("form_not_sent", entry.at, f"form on {where} started, not sent"))
    return found


_SENT = re.compile(
    r"(?<![a-z])(?:submit|complet|finish|purchas|(?:sent|paid|signed[^a-z]+up|order[^a-z]+placed)(?![a-z]))",
    re.I,
)


@lru_cache(maxsize=8_192)
def is_sent(event: str) -> bool:
    """Whether the name of an event says that something was sent."""
    return bool(_SENT.search(_CAMEL_HUMP.sub("_", event)))


def _back_and_forth(entries: Sequence[Entry]) -> list[Signal]:
    """Two pages that were viewed alternately: there, back, and there again."""
    views = [entry for entry in entries if entry.action == "view" and entry.page]
    found: list[Signal] = []
    at = 0
    while at + _FEWEST_VIEWS <= len(views):
        first, second = views[at].page, views[at + 1].page
        end = at + 2
        while first != second and end < len(views) and views[end].page == views[end - 2].page:
            end += 1
        if end - at >= _FEWEST_VIEWS:
            views[at + 2].signal = views[at + 2].signal or "back_and_forth"
            text = f"back and forth between {first} and {second}, {counted(end - at, 'view')}"
            found.append(Signal("back_and_forth", views[at].at, text))
            at = end - 1
        else:
            at += 1
    return found
