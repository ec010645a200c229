"""One act of a user from the several events that report it: a label, its field and the change of
it; a click, and what PostHog found out about that click.

Pure.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence

from enrichment_pipeline.events.touches import CHOICE, LABEL, SELECT, TYPED, read_touch
from enrichment_pipeline.llm.entries import Entry
from enrichment_pipeline.store.sessions.reading import SessionEvent

ABOUT_CLICKS = frozenset({"$rageclick", "$dead_click"})
"""What PostHog found out about a click, as events of their own."""

_APART_SECONDS = 10.0
"""A click and what is said about it arrive in different requests, whose clocks are corrected
separately: their times differ by the delay of the network."""

AT_ONCE_SECONDS = 3.0
"""Clicks that follow each other so quickly belong together."""

_MOMENT_SECONDS = 1.0
_SAME_INSTANT_SECONDS = 0.1
"""Nobody types within that time; ticking a box takes less."""

_OF_LABEL, _OF_CLICK, _OF_CHANGE = 1, 2, 4


def beside_their_clicks(events: Sequence[SessionEvent]) -> Sequence[SessionEvent]:
    """The events, in the order of time, with those about a click right behind that click."""
    if not any(event.event in ABOUT_CLICKS for event in events):
        return events
    clicks: defaultdict[tuple[str | None, str | None], list[int]] = defaultdict(list)
    for at, event in enumerate(events):
        if event.event == "$autocapture":
            touch = read_touch(event.touch)
            if touch is None or touch.act == "click":
                clicks[touch and touch.element, event.path_template].append(at)
    moved: defaultdict[int, list[SessionEvent]] = defaultdict(list)
    gone: set[int] = set()
    dead: set[int] = set()
    for at, event in enumerate(events):
        if event.event not in ABOUT_CLICKS:
            continue
        touch = read_touch(event.touch)
        key = touch and touch.element, event.path_template
        # Each click can have been without effect once.
        taken = dead if event.event == "$dead_click" else frozenset[int]()
        within = _APART_SECONDS if touch else AT_ONCE_SECONDS
        nearest = _nearest(events, clicks.get(key, ()), event.occurred_at, within, taken)
        if nearest is not None:
            gone.add(at)
            moved[nearest].append(event._replace(occurred_at=events[nearest].occurred_at))
            if event.event == "$dead_click":
                dead.add(nearest)
    return [
        one
        for at, event in enumerate(events)
        if at not in gone
        for one in (event, *moved.get(at, ()))
    ]


def _nearest(
    events: Sequence[SessionEvent],
    among: Sequence[int],
    moment: float,
    within: float,
    taken: set[int] | frozenset[int],
) -> int | None:
    first = bisect_left(among, moment - within, key=lambda at: events[at].occurred_at)
    last = bisect_left(among, moment + within, key=lambda at: events[at].occurred_at)
    free = [at for at in among[first:last] if at not in taken]
    return min(free, key=lambda at: abs(events[at].occurred_at - moment), default=None)


def mark_act(entry: Entry) -> None:
    """Note in a new entry which part of an act its event is."""
    touch = entry.touch
    if entry.event != "$autocapture" or touch is None:
        return
    if touch.act == "change":
        entry.acts = _OF_CHANGE
    elif touch.act == "click":
        entry.acts = _OF_LABEL if touch.kind == LABEL else _OF_CLICK


def is_one_act(last: Entry, entry: Entry) -> bool:
    """Whether an entry is a further part of the act of the last one: label, click and change of one
    control within a moment."""
    if not (entry.acts and last.acts) or last.acts & entry.acts:
        return False
    one, other = last.touch, entry.touch
    if one is None or other is None or one.element != other.element or last.page != entry.page:
        return False
    kinds = {one.kind, other.kind}
    within = _MOMENT_SECONDS if kinds & {LABEL, CHOICE, SELECT} else _SAME_INSTANT_SECONDS
    return entry.at - last.until <= within


def fold(last: Entry, entry: Entry) -> None:
    """Add a further part of its act to the last entry."""
    if last.acts == _OF_LABEL:
        last.text = _named_by(entry.text, last.text)
    elif entry.acts == _OF_CHANGE:
        # The change is what happened; a label may have named it already.
        last.text = _named_by(entry.text, last.text) if last.acts & _OF_LABEL else entry.text
    kinds = {last.touch and last.touch.kind, entry.touch and entry.touch.kind}
    is_instant = entry.at - last.until <= _SAME_INSTANT_SECONDS
    last.typed = () if is_instant and TYPED in kinds else (*last.typed, *entry.typed)
    if entry.action == "change":
        last.action = "change"
    last.acts |= entry.acts
    last.touch = entry.touch
    last.until = entry.at


def _named_by(what: str, label: str) -> str:
    """`field "customCheck"`, named by `label "Remember me"`: `field "Remember me"`."""
    word, _, _ = what.partition(' "')
    _, found, name = label.partition(' "')
    return f'{word} "{name}' if found else what
