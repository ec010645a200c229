"""What in a session deserves attention: rage clicks, forms not sent, back and forth, errors.

Pure; found in the entries of a timeline, which are marked.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from enrichment_pipeline.llm.timelines import Entry

_ERROR = re.compile(
    r"(?<![a-z])(?:error|exception|fail(?:ed|ure)?|crash(?:ed)?|declined)(?![a-z])", re.I
)
_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")

KINDS = ("rage_click", "dead_click", "error", "form_not_sent", "back_and_forth")
"""Every kind of signal."""

_RAGE_TIMES = 4
_RAGE_SECONDS = 3.0
_FIELDS = ("field", "select", "checkbox")


class Signal(NamedTuple):
    """Something that deserves attention."""

    kind: str
    """One of `KINDS`."""
    at: float
    """Seconds after the start of the session."""
    text: str
    """What and where, in a few words."""


def is_error(event: str) -> bool:
    """Whether the name of an event says that something went wrong."""
    return event == "$exception" or bool(_ERROR.search(_CAMEL_HUMP.sub("_", event)))


def find_signals(entries: "Sequence[Entry]") -> list[Signal]:
    """The signals of a session, in the order of time; the entries in which they show are marked."""
    signals = [*_clicks_and_errors(entries), *_forms(entries), *_back_and_forth(entries)]
    return sorted(signals, key=lambda signal: signal.at)


def _clicks_and_errors(entries: "Sequence[Entry]") -> list[Signal]:
    found: list[Signal] = []
    for at, entry in enumerate(entries):
        kind = entry.signal
        if entry.action == "rage_click" or _is_rage(entry):
            kind = "rage_click"
        elif entry.action == "dead_click":
            kind = "dead_click"
        if kind is None:
            continue
        entry.signal = kind
        # posthog-js sends the clicks too of which a rage click is made: one signal is enough.
        if kind == "rage_click" and any(
            signal.kind == kind and entry.at - signal.at < _RAGE_SECONDS for signal in found[-2:]
        ):
            continue
        found.append(Signal(kind, entry.at, _where(entries[at])))
    return found


def _is_rage(entry: "Entry") -> bool:
    return (
        entry.action == "click"
        and entry.times >= _RAGE_TIMES
        and entry.until - entry.at <= _RAGE_SECONDS
    )


def _where(entry: "Entry") -> str:
    text = entry.text
    return text if not entry.page or entry.page in text else f"{text} on {entry.page}"


def _forms(entries: "Sequence[Entry]") -> list[Signal]:
    """Pages on which something was filled in, and nothing sent afterwards."""
    started: dict[str, Entry] = {}
    for entry in entries:
        page = entry.page or ""
        if entry.action == "change":
            started.setdefault(page, entry)
        elif entry.action == "submit":
            started.pop(page, None)
        elif entry.action == "event" and _sends(entry.text):
            started.clear()
    found: list[Signal] = []
    for page, entry in started.items():
        entry.signal = entry.signal or "form_not_sent"
        where = page or "a page"
        found.append(Signal("form_not_sent", entry.at, f"form on {where} started, not sent"))
    return found


_SENT = re.compile(
    r"(?<![a-z])(?:submit|sent|complet|finish|purchas|paid|signed up|order placed)", re.I
)


def _sends(text: str) -> bool:
    return bool(_SENT.search(text))


def _back_and_forth(entries: "Sequence[Entry]") -> list[Signal]:
    """Two pages that were viewed in turns: there, back, and there again."""
    views = [entry for entry in entries if entry.action == "view" and entry.page]
    found: list[Signal] = []
    at = 0
    while at + 3 < len(views):
        first, second = views[at].page, views[at + 1].page
        end = at + 2
        while end < len(views) and views[end].page == (first, second)[(end - at) % 2]:
            end += 1
        if first != second and end - at >= 4:
            views[at + 2].signal = views[at + 2].signal or "back_and_forth"
            text = f"back and forth between {first} and {second}, {end - at} views"
            found.append(Signal("back_and_forth", views[at].at, text))
            at = end - 1
        else:
            at += 1
    return found
