"""A session as a timeline: its events folded into entries, its gaps, its signals, its outline.

Pure. The sentences of events are made by `enrichment` and are masked already; writing a timeline
belongs to `rendering`, reading its events to `sessions`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import itemgetter

from enrichment_pipeline.events.detail import split_detail
from enrichment_pipeline.events.masked import masked_path
from enrichment_pipeline.events.safe_text import cut, visible
from enrichment_pipeline.llm.entries import Entry
from enrichment_pipeline.llm.noise import noise_of
from enrichment_pipeline.llm.signals import (
    RageWatch,
    Signal,
    find_signals,
    is_error,
    is_sent,
)
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

# Events of PostHog's own that are more than `other`: their action, the words that it replaces, and
# the default text.
_OF_EVENTS = {
    "$dead_click": ("dead_click", "Clicked without any effect", "an element"),
    "$exception": ("error", "Ran into an error", "an error"),
    "$identify": ("identify", "Was identified (signed in or signed up)", "signed in or up"),
}

_AT_ONCE_SECONDS = 3.0
"""A rage click or dead click within so many seconds after a click describes that click."""


@dataclass
class Timeline:
    """The timeline of a session."""

    project: str
    session_id: str
    person: str
    """The person's pseudonym."""
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
    dropped: Counter[str] = field(default_factory=Counter)
    """Events that say nothing about the user, by name."""
    merged: int = 0
    """Events that are part of another entry: leaving a page in the view of the next one, PostHog's
    events about a click in the click."""
    not_read: int = 0
    """Events at the end of a session that has more than `MOST_EVENTS`: counted, and not shown."""


def build_timeline(
    project: str,
    session_id: str,
    person: str,
    events: Sequence[SessionEvent],
    *,
    is_open: bool = False,
) -> Timeline:
    """Build a timeline. `events` are all events of the session, at least one, in any order; or
    those that were read of a very long one, in the order of time."""
    ordered = _in_order(events)
    count, last = len(events), ordered[-1]
    if isinstance(events, SessionEvents):
        count, last = events.total, events.last or last
    not_read = count - len(ordered)
    start, end = ordered[0].occurred_at, ordered[-1].occurred_at
    noise = noise_of(ordered)
    kept = [event for event in ordered if event.event not in noise] if noise else ordered
    visits = _visits(kept)
    entries = _entries(kept, start, end)
    signals = find_signals(entries)
    shown = sum([entry.times for entry in entries if entry.action != "idle"])
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
        *(part or "" for part in event[1:]),
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


def _entries(events: Sequence[SessionEvent], start: float, end: float) -> list[Entry]:
    entries: list[Entry] = []
    rage = RageWatch()
    current: str | None = None
    before = start
    for at, event in enumerate(events):
        moment = event.occurred_at
        if moment - before >= IDLE_SECONDS:
            entries.append(_idle(before - start, moment - start, current))
        before = moment
        page = page_of(event.path_template)
        is_leave = event.event == "$pageleave" and current is not None
        if is_leave and page == current and _says_nothing(events, at):
            continue
        entry = _add(entries, _entry(event, page, moment - start))
        if entry.action == "click" and rage.is_rage(event.description, moment):
            entry.signal = "rage_click"
        current = page or current
    if end - before >= IDLE_SECONDS:
        entries.append(_idle(before - start, end - start, current))
    return entries


def _idle(at: float, until: float, page: str | None) -> Entry:
    return Entry(at, "idle", "", page, until=until)


def _says_nothing(events: Sequence[SessionEvent], at: int) -> bool:
    """Whether leaving a page is only part of viewing the next one, or the end of the session."""
    if at + 1 == len(events):
        return True
    following = events[at + 1]
    is_view = following.event == "$pageview"
    return is_view and following.occurred_at - events[at].occurred_at < IDLE_SECONDS


def _add(entries: list[Entry], entry: Entry) -> Entry:
    """Add an entry, or merge it into the last ones: a repetition, or an event about a click.
    Returns the entry that holds it."""
    last = entries[-1] if entries else None
    if last and _is_of_the_same_click(last, entry):
        if entry.action == "click":
            entry.action = last.action
        elif last.action == "click":
            # The entry is the click; its action says what PostHog found out about it.
            entries.pop()
            entry = replace(last, action=entry.action, until=entry.at)
            last = entries[-1] if entries else None
        else:
            last.until = entry.at
            return last
    if last and (last.action, last.text, last.page) == (entry.action, entry.text, entry.page):
        last.times += entry.times
        last.until = entry.until
        return last
    entries.append(entry)
    return entry


def _is_of_the_same_click(last: Entry, entry: Entry) -> bool:
    if last.page != entry.page or entry.at - last.until > _AT_ONCE_SECONDS:
        return False
    if entry.action == "dead_click":
        return last.action == "click"
    actions = {last.action, entry.action}
    is_rage = "rage_click" in actions and actions <= {"rage_click", "click"}
    return is_rage and last.text == entry.text


def _entry(event: SessionEvent, page: str | None, seconds: float) -> Entry:
    if event.event == "$screen" and page:
        return Entry(seconds, "view", page, page, until=seconds)
    # Rows of older versions may contain text that no sentence has now.
    said = event.description
    text = said if said.isprintable() else visible(said)
    action = _action(event.event, text)
    known = _OF_EVENTS.get(event.event)
    verb = known[1] if known else _VERBS.get(action)
    if verb and text.startswith(verb):
        text = text[len(verb) :]
        action = known[0] if known else action
    if page and action not in {"view", "leave"}:
        before, found, after = text.rpartition(f" on {page}")
        # The text after the page is the detail, if anything.
        if found and (not after or after.startswith(" (")):
            text = before + after
    if known and action == known[0]:
        text = text.strip() or known[2]
        text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    signal = "error" if is_error(event.event) else None
    sends = action == "event" and is_sent(event.event)
    return Entry(seconds, action, text, page, until=seconds, signal=signal, sends=sends)


def _action(event: str, sentence: str) -> str:
    action = _ACTIONS.get(event) or ("other" if event.startswith("$") else "event")
    if event != "$autocapture":
        return action
    # Whether it sent or changed something is in its sentence.
    found = (one for one in ("submit", "change") if sentence.startswith(_VERBS[one]))
    return next(found, action)


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
