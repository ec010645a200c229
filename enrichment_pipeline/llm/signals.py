"""Signals in a session: rage clicks, clicks without effect, errors, forms not sent, back and forth.

Pure; found in the entries of a timeline, which are marked. They look at what was touched and at
what followed; what the rules or a sentence call it does not matter.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from enrichment_pipeline.events.touches import (
    AWAY,
    CHOICE,
    LABEL,
    NEXT,
    REPEAT,
    SEARCH,
    SELECT,
    SEND,
    SUBMIT,
    SURFACE,
    TYPED,
    UNKNOWN,
    Touch,
)
from enrichment_pipeline.llm.entries import Entry
from enrichment_pipeline.llm.event_names import is_of_a_click
from enrichment_pipeline.wording import counted

KINDS = ("rage_click", "dead_click", "error", "form_not_sent", "back_and_forth")
"""Every kind of signal."""

_RAGE_TIMES = 4
_RAGE_SECONDS = 3.0
_FEWEST_VIEWS = 4

# What is clicked quickly on purpose; and what answers a click outside of what PostHog observes.
_CLICKED_QUICKLY = frozenset({TYPED, SEARCH, SELECT, REPEAT, NEXT, SURFACE})
# A browser says by itself what is missing in a form.
_ANSWERS_UNSEEN = frozenset({TYPED, SEARCH, SELECT, CHOICE, LABEL, AWAY, SUBMIT, SURFACE})
# posthog-js counts the click on a label and the one that it causes on its field as two.
_COUNTED_TWICE = frozenset({LABEL, CHOICE})

_ANSWERED_SECONDS = 3.0
"""PostHog waits about that long for an effect of a click."""


class Signal(NamedTuple):
    """A part of a session that deserves attention."""

    kind: str
    """One of `KINDS`."""
    at: float
    """Seconds after the start of the session."""
    text: str
    """What and where, in a few words; of an error also what followed."""
    page: str | None = None
    """Where it began."""


def can_rage(entry: Entry) -> bool:
    """Whether quick clicks on what this entry is about are no habit."""
    return entry.touch is None or entry.touch.kind not in _CLICKED_QUICKLY


def is_counted_twice(entry: Entry) -> bool:
    """Whether posthog-js sees more clicks than there were."""
    return entry.touch is not None and entry.touch.kind in _COUNTED_TWICE


class RageWatch:
    """Decides for each click in a session, in the order of time, whether it is a rage click: the
    fourth on the same control within three seconds, or a further one."""

    def __init__(self) -> None:
        self._clicks: dict[tuple[str, str | None], deque[float]] = {}

    def is_rage(self, entry: Entry, at: float) -> bool:
        """Whether this click is a rage click."""
        if not can_rage(entry):
            return False
        what = entry.touch.element if entry.touch else entry.text
        clicks = self._clicks.setdefault((what, entry.page), deque(maxlen=_RAGE_TIMES))
        clicks.append(at)
        return len(clicks) == _RAGE_TIMES and at - clicks[0] <= _RAGE_SECONDS


def find_signals(entries: Sequence[Entry]) -> list[Signal]:
    """The signals of a session, in the order of time; the entries that show them are marked."""
    signals = [
        *_clicks(entries),
        *_errors(entries),
        *_forms(entries),
        *_back_and_forth(entries),
    ]
    return sorted(signals, key=lambda signal: signal.at)


def _clicks(entries: Sequence[Entry]) -> list[Signal]:
    found: list[Signal] = []
    rage_until = -_RAGE_SECONDS
    for at, entry in enumerate(entries):
        if entry.is_dead and _is_answered(entries, at):
            entry.is_dead = False
            entry.action = "click" if entry.action == "dead_click" else entry.action
        if entry.action == "rage_click":
            entry.signal = "rage_click"
        if entry.signal == "rage_click":
            # It goes on even if events caused by the clicks come between them: one signal.
            if entry.at - rage_until >= _RAGE_SECONDS:
                found.append(Signal("rage_click", entry.at, _where(entry), entry.page))
            rage_until = entry.until
        if entry.is_dead:
            entry.signal = entry.signal or "dead_click"
            found.append(Signal("dead_click", entry.at, _where(entry), entry.page))
    return found


def _is_answered(entries: Sequence[Entry], at: int) -> bool:
    """Whether a click that PostHog saw no effect of had one: outside of the page, as a native
    control has, or in what the site or the user did next."""
    click = entries[at]
    if click.touch and click.touch.kind in _ANSWERS_UNSEEN:
        return True
    for later in entries[at + 1 :]:
        if later.at - click.until > _ANSWERED_SECONDS:
            return False
        is_event = later.action == "event" and not later.signal and not is_of_a_click(later.event)
        if is_event or later.action in {"submit", "identify"}:
            return True
        if later.action == "view":
            # In another tab: PostHog had waited in this one.
            return later.page != click.page and click.action == "dead_click"
        if later.action in {"click", "change", "rage_click", "dead_click"}:
            return False
    return False


def _where(entry: Entry) -> str:
    return f"{entry.text} on {entry.page}" if entry.page else entry.text


_DEEDS = frozenset({"view", "click", "rage_click", "dead_click", "submit", "change", "event"})
_CAUSED_SECONDS = 15.0


def _errors(entries: Sequence[Entry]) -> list[Signal]:
    return [
        Signal("error", entry.at, f"{_where(entry)}; {_degree(entries, at)}", entry.page)
        for at, entry in enumerate(entries)
        if entry.signal == "error"
    ]


def _degree(entries: Sequence[Entry], at: int) -> str:
    """How much an error was in the way of what the user was about to do."""
    error = entries[at]
    cause = _cause(entries, at)
    if cause is None:
        return "nothing followed"
    later = [one for one in entries[at + 1 :] if one.action in _DEEDS]
    deeds = [one for one in later if one.signal != "error"]
    if not deeds:
        return "blocked, the session ended"
    # Tried again, or done in another way.
    tried = [one for one in deeds if _is_same(one, cause)]
    failed_last = max((one.at for one in later if _is_same(one, error)), default=error.until)
    done = [one for one in deeds if _is_done(one) or _is_same(one, cause)]
    if any(one.at >= failed_last and not _fails_at_once(entries, one) for one in done):
        return "worked around"
    if tried:
        return f"blocked, tried again {counted(sum(one.times for one in tried), 'time')}"
    return "blocked, given up" if _is_done(cause) else "nothing followed"


def _cause(entries: Sequence[Entry], at: int) -> Entry | None:
    """What the user did right before an error."""
    error = entries[at]
    for before in reversed(entries[:at]):
        if error.at - before.until > _CAUSED_SECONDS or before.action == "view":
            return None
        if before.action in _DEEDS and before.signal != "error" and before.page == error.page:
            return before
    return None


def _is_same(one: Entry, other: Entry) -> bool:
    if one.touch and other.touch:
        return one.touch == other.touch and one.page == other.page
    return (one.event, one.text, one.page) == (other.event, other.text, other.page)


def _is_done(entry: Entry) -> bool:
    """Whether something was sent, or the site says that something was."""
    return entry.action == "submit" or entry.sends


def _fails_at_once(entries: Sequence[Entry], entry: Entry) -> bool:
    return any(
        one.signal == "error" and 0 <= one.at - entry.until <= _CAUSED_SECONDS for one in entries
    )


_LOOSE = "~"
_UNNAMED = "-~"
_UNKNOWN_FORM = "?"
_FEWEST_FIELDS = 2


@dataclass(slots=True)
class _Started:
    """A form in which somebody has typed."""

    entry: Entry
    fields: set[str] = field(default_factory=set)


def _forms(entries: Sequence[Entry]) -> list[Signal]:
    """Forms in which a field was typed into, and which were not sent afterwards."""
    if not any(entry.typed for entry in entries):
        return []
    started: dict[tuple[str, str], _Started] = {}
    pages = ["", ""]
    for entry in entries:
        page = entry.page or ""
        if page and page != pages[-1]:
            pages = [pages[-1], page]
        for touch in entry.typed:
            of = started.setdefault((page, _form_of(touch)), _Started(entry))
            of.fields.add(touch.element if touch else "")
        if entry.action == "submit" or _sends_its_form(entry):
            _drop_form(started, page, entry)
        elif entry.action == "identify" or (entry.sends and entry.signal is None):
            sent = {page, *pages} if page else set(pages)
            for key in [key for key in started if key[0] in sent]:
                del started[key]
    found: list[Signal] = []
    for (page, form), of in started.items():
        # Fields outside of any form are often saved as they are typed: a note, a setting.
        if form.startswith(_LOOSE) and len(of.fields) < _FEWEST_FIELDS:
            continue
        of.entry.signal = of.entry.signal or "form_not_sent"
        text = f"form on {page or 'a page'} started, not sent"
        found.append(Signal("form_not_sent", of.entry.at, text, page or None))
    return found


def _form_of(touch: Touch | None) -> str:
    if touch is None or touch.kind == UNKNOWN:
        return _UNKNOWN_FORM
    return touch.form or f"{_LOOSE}{touch.element}"


def _sends_its_form(entry: Entry) -> bool:
    return entry.touch is not None and entry.touch.kind in {SEND, NEXT}


def _drop_form(started: dict[tuple[str, str], _Started], page: str, sender: Entry) -> None:
    """Forget the form that was sent: itself, or, since a page may give it a name meanwhile, those
    without names."""
    form = _form_of(sender.touch)
    if (page, form) in started:
        del started[page, form]
        return
    for key in [key for key in started if key[0] == page]:
        marks = {form[0], key[1][0]}
        is_of_one_sort = marks == {_LOOSE} or _LOOSE not in marks
        if _UNKNOWN_FORM in marks or (is_of_one_sort and not marks.isdisjoint(_UNNAMED)):
            del started[key]


def _back_and_forth(entries: Sequence[Entry]) -> list[Signal]:
    """Two pages that were viewed alternately in one tab: there, back, and there again."""
    by_tab: defaultdict[int | None, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.action == "view" and entry.page:
            by_tab[entry.tab].append(entry)
    return [signal for views in by_tab.values() for signal in _alternations(views)]


def _alternations(views: Sequence[Entry]) -> list[Signal]:
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
            found.append(Signal("back_and_forth", views[at].at, text, first))
            at = end - 1
        else:
            at += 1
    return found
