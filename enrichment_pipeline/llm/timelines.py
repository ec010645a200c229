"""A session as a timeline: its events folded into entries, its gaps, its signals, its outline.

Pure. The sentences of events are made by `enrichment` and are masked already; writing a timeline
belongs to `rendering`, reading its events to `sessions`.
"""

import re
from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter

from enrichment_pipeline.events.detail import split_detail
from enrichment_pipeline.events.masked import masked_path
from enrichment_pipeline.events.safe_text import cut, visible
from enrichment_pipeline.events.touches import TYPED, UNKNOWN, Touch, read_touch
from enrichment_pipeline.llm.entries import Entry, idle, mark
from enrichment_pipeline.llm.event_names import is_error
from enrichment_pipeline.llm.folding import (
    ABOUT_CLICKS,
    AT_ONCE_SECONDS,
    beside_their_clicks,
    fold,
    is_one_act,
    mark_act,
)
from enrichment_pipeline.llm.noise import noise_of
from enrichment_pipeline.llm.signals import (
    RageWatch,
    Signal,
    can_rage,
    find_signals,
    is_counted_twice,
)
from enrichment_pipeline.llm.tabs import Tabs
from enrichment_pipeline.llm.whose import NOBODY, Arrival, other_people
from enrichment_pipeline.store.sessions.reading import SessionEvent, SessionEvents
from enrichment_pipeline.wording import counted

IDLE_SECONDS = 60
"""A silence of at least this many seconds is an entry of its own."""

_MOST_PAGES_OF_OUTLINE = 8
_MAX_PAGE = 60

# The first word of a sentence repeats the action.
_VERBS = {
    "view": "Viewed ",
    "leave": "Left ",
    "click": "Clicked ",
    "rage_click": "Rage-clicked ",
    "submit": "Submitted ",
    "change": "Changed ",
}

# The action by the event's name: a user's own rules may rename it.
_ACTIONS = {
    "$pageview": "view",
    "$screen": "view",
    "$pageleave": "leave",
    "$rageclick": "rage_click",
    "$autocapture": "click",
}
_VIEWS = frozenset({"$pageview", "$screen"})
_NO_EVENTS = frozenset({"idle", "person", "tab"})

# Events of PostHog's own that are more than `other`: their action, the words that it replaces, and
# the default text.
_OF_EVENTS = {
    "$dead_click": ("dead_click", ("Clicked", "without any effect"), "an element"),
    "$exception": ("error", ("Ran into an error",), "an error"),
    "$identify": ("identify", ("Was identified (signed in or signed up)",), "signed in or up"),
}


_CALLS = ("$ai_", "$mcp_")
_FAILED_CALL = re.compile(r"\(error=|is_error=(?:true|1)\b")


@dataclass
class Timeline:
    """The timeline of a session."""

    project: str
    session_id: str
    person: str
    """The person's short name, `p3`; without a built session, the pseudonym."""
    started_at: float
    """Unix time."""
    seconds: float
    events: int
    pages: int
    """The number of different pages."""
    entry: str | None
    """The first page, and the last."""
    exit: str | None
    device: str | None
    outline: str
    signals: list[Signal]
    entries: list[Entry]
    is_open: bool = False
    """Whether more events may come."""
    others: Sequence[str] = ()
    """A distinct_id of each other person in the session, as it arrived."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Events that say nothing about the user, by name."""
    merged: int = 0
    """Events that are part of another entry: leaving a page in the view of the next one, PostHog's
    events about a click in the click."""
    handle: str | None = None
    """The session's short name, `s12`, if it is built."""
    not_read: int = 0
    """Events at the end of a session that has more than `MOST_EVENTS`: counted, and not shown."""


def build_timeline(
    project: str,
    session_id: str,
    person: str,
    events: Sequence[SessionEvent],
    *,
    is_open: bool = False,
    people: Mapping[str, Hashable] = NOBODY,
) -> Timeline:
    """Build a timeline. `events` are all events of the session, at least one, in any order; or
    those that were read of a very long one, in the order of time. `people` has the person of each
    identified id, where there may be several people (`whose.ids_in_doubt`)."""
    ordered = _in_order(events)
    count, last = len(events), ordered[-1]
    if isinstance(events, SessionEvents):
        count, last = events.total, events.last or last
    not_read = count - len(ordered)
    start, end = ordered[0].occurred_at, ordered[-1].occurred_at
    arrivals = other_people(ordered, people) if people else ()
    noise = noise_of(ordered)
    kept = [event for event in ordered if event.event not in noise] if noise else ordered
    acts = beside_their_clicks(kept)
    visits = _visits(kept)
    entries = _entries(acts, start, end, arrivals)
    signals = find_signals(entries)
    shown = sum([entry.times for entry in entries if entry.action not in _NO_EVENTS])
    return Timeline(
        project=project,
        session_id=session_id,
        person=person,
        started_at=start,
        seconds=last.occurred_at - start,
        events=count,
        pages=len(set(visits)),
        entry=visits[0] if visits else None,
        exit=visits[-1] if visits else None,
        device=next((event.device for event in ordered if event.device), None),
        outline=_outline(visits, entries, len(ordered) if not_read else None),
        signals=signals,
        entries=entries,
        is_open=is_open,
        others=list(dict.fromkeys(one.before for one in arrivals)),
        dropped=Counter([event.event for event in ordered if event.event in noise]),
        merged=len(kept) - shown,
        not_read=not_read,
    )


def _in_order(events: Sequence[SessionEvent]) -> list[SessionEvent]:
    ordered = sorted(events, key=itemgetter(0))
    if len({event.occurred_at for event in ordered}) < len(ordered):
        ordered.sort(key=_place)
    return ordered


_AT_THE_SAME_TIME = {"$autocapture": 0, "$rageclick": 0, "$pageleave": 1, "$pageview": 2}


def _place(event: SessionEvent) -> tuple[float | int | str, ...]:
    """Sorts events of the same moment in the order in which they make sense, which does not depend
    on the order of reading."""
    return (
        event.occurred_at,
        _AT_THE_SAME_TIME.get(event.event, len(_AT_THE_SAME_TIME)),
        *(str(part or "") for part in event[1:]),
    )


@lru_cache(maxsize=8_192)
def page_of(path_template: str | None) -> str | None:
    """A page in the form of sentences: masked and safe."""
    return masked_path(path_template, _MAX_PAGE) or None if path_template else None


def _visits(events: Sequence[SessionEvent]) -> list[str]:
    """The pages in the order in which they were viewed; if none was, those of other events."""
    viewed = [event.path_template for event in events if event.event in _VIEWS]
    visits: list[str] = []
    for template in viewed if any(viewed) else [event.path_template for event in events]:
        page = page_of(template)
        if page and (not visits or visits[-1] != page):
            visits.append(page)
    return visits


def _entries(
    events: Sequence[SessionEvent], start: float, end: float, arrivals: Sequence[Arrival]
) -> list[Entry]:
    entries: list[Entry] = []
    rage = RageWatch()
    tabs = Tabs(events)
    current: str | None = None
    before = start
    coming = deque(arrivals)
    for at, event in enumerate(events):
        moment = event.occurred_at
        if moment - before >= IDLE_SECONDS:
            entries.append(idle(before - start, moment - start, current))
        before = moment
        while coming and coming[0].at <= moment:
            entries.append(mark(coming.popleft().at - start, "person", "now another person"))
        if tab := tabs.switched_to(event):
            entries.append(mark(moment - start, "tab", f"now in tab {tab}"))
        page = page_of(event.path_template)
        is_leave = event.event == "$pageleave" and current is not None
        if is_leave and page == current and _says_nothing(events, at):
            continue
        made = _entry(event, page, moment - start)
        is_click = made.action == "click" and event.event == "$autocapture"
        entry, is_new_act = _add(entries, made)
        if is_click and is_new_act and rage.is_rage(entry, moment):
            entry.signal = "rage_click"
        current = page or current
    if end - before >= IDLE_SECONDS:
        entries.append(idle(before - start, end - start, current))
    return entries


def _says_nothing(events: Sequence[SessionEvent], at: int) -> bool:
    """Whether leaving a page is only part of viewing the next one, or the end of the session."""
    if at + 1 == len(events):
        return True
    following = events[at + 1]
    is_view = following.event == "$pageview"
    return is_view and following.occurred_at - events[at].occurred_at < IDLE_SECONDS


def _add(entries: list[Entry], entry: Entry) -> tuple[Entry, bool]:
    """Add an entry, or merge it into the last ones: a repetition, a further part of the same act,
    or an event about a click. Returns the entry that holds it, and whether it is an act of its
    own."""
    last = entries[-1] if entries else None
    if last and _is_about(last, entry):
        _note(last, entry)
        entries.pop()
        return _repeat(entries, last), False
    if last and is_one_act(last, entry):
        fold(last, entry)
        entries.pop()
        return _repeat(entries, last), False
    return _repeat(entries, entry), True


def _is_about(last: Entry, entry: Entry) -> bool:
    """Whether an entry says something about the click of the last one."""
    if entry.event not in ABOUT_CLICKS or last.event != "$autocapture":
        return False
    if last.page != entry.page or last.action not in {"click", "rage_click", "dead_click"}:
        return False
    if last.touch and entry.touch:
        return last.touch.element == entry.touch.element
    return entry.event == "$dead_click" or last.text == entry.text


def _note(click: Entry, entry: Entry) -> None:
    if entry.event == "$dead_click":
        click.is_dead = True
        click.action = "dead_click" if click.action == "click" else click.action
    elif can_rage(click) and not is_counted_twice(click):
        click.action = "rage_click"


def _repeat(entries: list[Entry], entry: Entry) -> Entry:
    """Add an entry, or count it as a repetition of the last one."""
    last = entries[-1] if entries else None
    if last and _is_repetition(last, entry):
        last.times += entry.times
        last.until = entry.until
        last.acts = entry.acts
        last.typed = (*last.typed, *entry.typed) if entry.typed else last.typed
        return last
    entries.append(entry)
    return entry


def _is_repetition(last: Entry, entry: Entry) -> bool:
    if (last.text, last.page, last.event) != (entry.text, entry.page, entry.event):
        return False
    # A further click of a rage; or at once on what had no effect.
    return last.action == entry.action or (
        entry.action == "click"
        and last.action in {"rage_click", "dead_click"}
        and entry.at - last.until < AT_ONCE_SECONDS
    )


def _entry(event: SessionEvent, page: str | None, seconds: float) -> Entry:
    of = _entry_of(event.event, event.description, page, event.touch)
    return Entry(
        *(seconds, of.action, of.text, page, 1, seconds, of.signal, of.event),
        *(of.touch, of.acts, of.typed, of.is_dead),
        event.tab,
    )


@lru_cache(maxsize=8_192)
def _entry_of(event: str, description: str, page: str | None, written: str | None) -> Entry:
    """The entry of an event, apart from its time: many events are alike."""
    if event == "$screen" and page:
        return Entry(0, "view", page, page, event=event)
    # Rows of older versions may contain text that no sentence has now.
    said = description if description.isprintable() else visible(description)
    touch = read_touch(written)
    action = _action(event, said, touch)
    is_typed = action == "change" and (touch is None or touch.kind in {TYPED, UNKNOWN})
    entry = Entry(
        0,
        action,
        _text(event, said, action, page),
        page,
        signal="error" if is_error(event) or _is_failed_call(event, said) else None,
        event=event,
        touch=touch,
        typed=(touch,) if is_typed else (),
        is_dead=action == "dead_click",
    )
    if action == "rage_click" and (not can_rage(entry) or is_counted_twice(entry)):
        entry.action = "click"
    mark_act(entry)
    return entry


def _is_failed_call(event: str, said: str) -> bool:
    """Whether a call of a model or a tool failed: its detail begins with the error."""
    return event.startswith(_CALLS) and bool(_FAILED_CALL.search(split_detail(said)[1]))


def _text(event: str, said: str, action: str, page: str | None) -> str:
    """The sentence without what the action and the page say."""
    text = said
    known = _OF_EVENTS.get(event)
    if known:
        for words in known[1]:
            text = text.replace(words, "", 1)
        text = text.strip()
    elif text.startswith(verb := _VERBS.get(action, "\n")):
        text = text[len(verb) :]
    if page and action not in {"view", "leave"}:
        before, found, after = f" {text}".rpartition(f" on {page}")
        # The text after the page is the detail, if anything.
        if found and (not after or after.startswith(" (")):
            text = (before + after).strip()
    if known:
        text = text.strip() or known[2]
        text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    return text


def _action(event: str, said: str, touch: Touch | None) -> str:
    if known := _OF_EVENTS.get(event):
        return known[0]
    if event != "$autocapture":
        return _ACTIONS.get(event) or ("other" if event.startswith("$") else "event")
    if touch:
        return touch.act if touch.act in _VERBS else "other"
    # Rows of older versions have it in their sentences only.
    found = (one for one in ("submit", "change") if said.startswith(_VERBS[one]))
    return next(found, "click")


def _outline(visits: Sequence[str], entries: Sequence[Entry], first: int | None) -> str:
    """The path through the pages, with the named actions; of the `first` events."""
    shown = list(visits)
    if len(shown) > _MOST_PAGES_OF_OUTLINE:
        half = _MOST_PAGES_OF_OUTLINE // 2
        left_out = len(shown) - 2 * half
        shown = [*shown[:half], f"({left_out} more)", *shown[-half:]]
    way = " → ".join(shown) or "no page"
    names = Counter(
        cut(split_detail(entry.text)[0], _MAX_PAGE) for entry in entries if entry.action == "event"
    )
    sent = sum(entry.times for entry in entries if entry.action == "submit")
    done = [name for name, _ in names.most_common(4)]
    if sent:
        done.append(f"{counted(sent, 'form')} sent")
    outline = f"{way}; {', '.join(done)}" if done else way
    return outline if first is None else f"(of the first {counted(first, 'event')}) {outline}"
