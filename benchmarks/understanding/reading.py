"""Answering by rule, from the text of a timeline alone: so it is seen that the answers are in it.

The rules know how a timeline is written, and nothing of the session that it is about.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.understanding.questions import DURATIONS, NONE, Question

_ENTRY = re.compile(r"(?:! )?(\d+) (\w+)(?: (.*))?")
_ENDS = re.compile(r"entry (\S+), exit (\S+)")
_SIGNAL = re.compile(r"(\w+) at [\ds, ]+ \((.*?)\)(?=; \w+ at \d+s|; and \d|$)")
_ON_PAGE = re.compile(r" on (\S+)$")
_QUOTED = re.compile(r'"([^"]*)"')
_BETWEEN = re.compile(r"between (\S+) and (\S+), ")
_FORM = re.compile(r"form on (\S+) started")
_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?: on (\S+))?")
_BOUGHT = re.compile(
    r"(?:order placed|purchase completed|checkout completed|payment succeeded"
    r"|subscription started|bestellung abgeschlossen)(?: |$)"
)
_LIMITS = (60, 180, 600)


class _Entry(NamedTuple):
    action: str
    text: str


class _Shown(NamedTuple):
    """A timeline as its text shows it."""

    device: str
    entry: str
    exit: str
    signals: list[tuple[str, str]]
    """Kind and text."""
    entries: list[_Entry]


def answer_by_rule(question: Question, timeline: str) -> str:
    """The answer, as far as this text has it."""
    shown = _read(timeline)
    if question.kind == "fact":
        return _fact(shown, question.line)
    return _RULES[question.kind](shown)


def _read(timeline: str) -> _Shown:
    head, _, body = timeline.partition("\nseconds action what\n")
    lines = head.split("\n")
    named = {name: rest for name, _, rest in (line.partition(": ") for line in lines[2:])}
    pages = named["outline"].partition("; ")[0].split(" → ")
    ends = next((found for line in lines if (found := _ENDS.fullmatch(line))), None)
    return _Shown(
        device=lines[1].partition("; ")[2],
        entry=ends[1] if ends else pages[0],
        exit=ends[2] if ends else pages[-1],
        signals=_SIGNAL.findall(named.get("signals", "")),
        entries=[
            _Entry(found[2], found[3] or "")
            for line in body.splitlines()
            if (found := _ENTRY.fullmatch(line))
        ],
    )


def _fact(shown: _Shown, event: str) -> str:
    """What stands in brackets behind the first event of this name."""
    texts = (entry.text for entry in shown.entries if entry.action == "event")
    return next((text[len(event) :] for text in texts if text.startswith(event)), "")


def _bought(shown: _Shown) -> str:
    is_bought = any(
        entry.action == "event" and _BOUGHT.match(entry.text) for entry in shown.entries
    )
    return "yes" if is_bought else "no"


def _signed_in(shown: _Shown) -> str:
    return "yes" if any(entry.action == "identify" for entry in shown.entries) else "no"


def _silences(shown: _Shown) -> Iterator[tuple[int, str]]:
    for entry in shown.entries:
        if entry.action == "idle" and (found := _SPAN.fullmatch(entry.text)):
            hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3])
            yield 3600 * hours + 60 * minutes + seconds, found[4] or ""


def _longest(shown: _Shown) -> tuple[int, str]:
    return max(_silences(shown), default=(0, ""))


def _hesitated_for(shown: _Shown) -> str:
    seconds = _longest(shown)[0]
    return DURATIONS[sum(seconds >= limit for limit in _LIMITS)]


def _annoying(shown: _Shown) -> str:
    kinds = ("rage_click", "dead_click")
    found = sorted((kinds.index(kind), text) for kind, text in shown.signals if kind in kinds)
    return found[0][1] if found else ""


def _annoyed_by(shown: _Shown) -> str:
    found = _QUOTED.search(_annoying(shown))
    return found[1] if found else ""


def _annoyed(shown: _Shown) -> str:
    found = _ON_PAGE.search(_annoying(shown))
    return found[1] if found else ""


def _signal(shown: _Shown, kind: str) -> str:
    return next((text for one, text in shown.signals if one == kind), "")


def _unfinished(shown: _Shown) -> str:
    found = _FORM.search(_signal(shown, "form_not_sent"))
    return found[1] if found else NONE


def _wavered(shown: _Shown) -> str:
    found = _BETWEEN.search(_signal(shown, "back_and_forth"))
    return f"{found[1]} and {found[2]}" if found else ""


def _error(shown: _Shown) -> str:
    texts = (entry.text for entry in shown.entries if entry.action == "error")
    found = _QUOTED.search(next(texts, ""))
    return found[1] if found else ""


def _device(shown: _Shown) -> str:
    kinds = {"Desktop": "desktop", "Mobile": "mobile"}
    kind = kinds.get(shown.device.partition(",")[0])
    return kind or ("server" if "posthog-" in shown.device else "")


_RULES: dict[str, Callable[[_Shown], str]] = {
    "bought": _bought,
    "signed_in": _signed_in,
    "entry": lambda shown: shown.entry,
    "exit": lambda shown: shown.exit,
    "hesitated": lambda shown: _longest(shown)[1],
    "hesitated_for": _hesitated_for,
    "annoyed": _annoyed,
    "annoyed_by": _annoyed_by,
    "unfinished": _unfinished,
    "wavered": _wavered,
    "error": _error,
    "device": _device,
}
