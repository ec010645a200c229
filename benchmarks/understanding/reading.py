"""Answering by rule, from the text of a timeline alone: so it is seen that the answers are in it.

The rules know how a timeline is written, and nothing of the session that it is about.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from benchmarks.understanding.questions import (
    CAUSES,
    DIFFERENT_PAGES,
    DURATIONS,
    GAPS,
    NONE,
    NOT_KNOWN,
    WHICH_SESSION,
    Question,
)

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
_TIMES = re.compile(r" \N{MULTIPLICATION SIGN} (\d+)$")
_STARTED = re.compile(r"session .*?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC")
_TROUBLES = tuple(
    map(
        re.compile,
        (
            r"(?:rage|dead)_click ",
            r"error ",
            r"event payment (?:failed|declined)",
            r"event search submitted .*\bresults=0\b",
            r"event login failed",
        ),
    )
)
"""How a line begins that says what went wrong, in the order of `CAUSES`."""
_DAYS = (1, 4, 11)


class _Entry(NamedTuple):
    action: str
    text: str


class _Shown(NamedTuple):
    """A timeline as its text shows it."""

    started_at: datetime
    device: str
    entry: str
    exit: str
    signals: list[tuple[str, str]]
    """Kind and text."""
    entries: list[_Entry]


def answer_by_rule(question: Question, timeline: str) -> str:
    """The answer, as far as this text has it; the text may be of two sessions."""
    sessions = [_read(one) for one in re.split(r"\n\n(?=session )", timeline)]
    if rule := _RULES_OF_TWO.get(question.kind):
        return rule(*sessions) if len(sessions) == 2 else ""
    if rule_of_line := _RULES_OF_LINES.get(question.kind):
        entries = [entry for session in sessions for entry in session.entries]
        return rule_of_line(entries, question)
    return _RULES[question.kind](sessions[0])


def _read(timeline: str) -> _Shown:
    head, _, body = timeline.partition("\nseconds action what\n")
    lines = head.split("\n")
    named = {name: rest for name, _, rest in (line.partition(": ") for line in lines[2:])}
    pages = named["outline"].partition("; ")[0].split(" → ")
    ends = next((found for line in lines if (found := _ENDS.fullmatch(line))), None)
    started_at = _STARTED.match(lines[0])
    assert started_at, f"not the head of a timeline: {lines[0]}"
    return _Shown(
        started_at=datetime.fromisoformat(started_at[1]).replace(tzinfo=UTC),
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


def _fact(entries: Sequence[_Entry], question: Question) -> str:
    """What stands in brackets behind the first event of this name; or one of its properties."""
    texts = (entry.text for entry in entries if entry.action == "event")
    detail = next((t[len(question.line) :] for t in texts if t.startswith(question.line)), "")
    if question.says:
        found = re.search(rf'\b{question.says}=("[^"]*"|[^,)]*)', detail)
        detail = found[1] if found else ""
    return detail or NOT_KNOWN


def _count(entries: Sequence[_Entry], question: Question) -> str:
    """How many lines begin so, those in a row counted each; or, of pages, how many differ."""
    if question.line == DIFFERENT_PAGES:
        return str(len({_page(entry) for entry in entries if entry.action == "view"}))
    begin = (entry for entry in entries if _line(entry).startswith(question.line))
    times = (_TIMES.search(entry.text) for entry in begin)
    return str(sum(int(found[1]) if found else 1 for found in times))


def _cause(entries: Sequence[_Entry], question: Question) -> str:
    """What last went wrong before this line."""
    wrong = ""
    for entry in entries:
        line = _line(entry)
        if line.startswith(question.line) and wrong:
            return wrong
        for trouble, cause in zip(_TROUBLES, CAUSES, strict=True):
            if trouble.match(line):
                wrong = cause
    return NOT_KNOWN


def _line(entry: _Entry) -> str:
    return f"{entry.action} {entry.text}"


def _page(view: _Entry) -> str:
    """The page, without its title and how many times in a row."""
    return _TIMES.sub("", view.text).partition(" (")[0]


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


def _which(first: bool, second: bool) -> str:
    places = {(True, False): 0, (False, True): 1, (True, True): 2, (False, False): 3}
    return WHICH_SESSION[places[first, second]]


def _views(shown: _Shown) -> list[str]:
    return [_page(entry) for entry in shown.entries if entry.action == "view"]


def _returned_to(first: _Shown, second: _Shown) -> str:
    seen = _views(first)
    return next((page for page in _views(second) if page in seen), NONE)


def _finished_later(first: _Shown, second: _Shown) -> str:
    begun, page = _unfinished(first), ""
    for entry in second.entries:
        if entry.action == "view":
            page = _page(entry)
        if entry.action == "submit" and page == begun:
            return "yes"
    return "no"


def _apart(first: _Shown, second: _Shown) -> str:
    days = (second.started_at - first.started_at).total_seconds() / 86_400
    return GAPS[sum(days >= limit for limit in _DAYS)]


_RULES_OF_LINES: dict[str, Callable[[Sequence[_Entry], Question], str]] = {
    "fact": _fact,
    NOT_KNOWN: _fact,
    "count": _count,
    "cause": _cause,
}
_RULES_OF_TWO: dict[str, Callable[[_Shown, _Shown], str]] = {
    "bought_in": lambda first, second: _which(_bought(first) == "yes", _bought(second) == "yes"),
    "annoyed_in": lambda first, second: _which(bool(_annoying(first)), bool(_annoying(second))),
    "returned_to": _returned_to,
    "finished_later": _finished_later,
    "apart": _apart,
}
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
