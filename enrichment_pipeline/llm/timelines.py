"""A session as a timeline: its events folded into entries, its gaps, its signals, its outline.

Pure. What of an event is told was made by `enrichment` and is masked already; how a timeline is
written belongs to `rendering`, where its events come from to `sessions`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean, pstdev

from enrichment_pipeline.events.privacy import mask
from enrichment_pipeline.events.safe_text import safe_path
from enrichment_pipeline.llm.signals import Signal, find_signals, is_error
from enrichment_pipeline.store.sessions import SessionEvent

IDLE_SECONDS = 60
"""From so long a silence on it is an entry of its own."""

_MOST_PAGES_OF_OUTLINE = 8
_MAX_PAGE = 60

# Says nothing of what the user did.
_NOISE = frozenset(
    {
        *("$web_vitals", "$snapshot", "$snapshot_items", "$$heatmap", "$performance_event"),
        *(
            "$set",
            "$set_once",
            "$opt_in",
            "$feature_enrollment_update",
            "$$client_ingestion_warning",
        ),
        *("$$client_ingestion_warning", "$feature_flag_called"),
        *("$create_alias", "$merge_dangerously", "$groupidentify"),
    }
)
_HEARTBEAT = re.compile(
    r"heart.?beat|keep.?alive|(?<![a-z])(?:ping|pulse|tick|poll)(?![a-z])", re.I
)
_FEWEST_BEATS = 6
_EVENNESS = 0.2

# The first word of a sentence says what the action says.
_VERBS = {
    "view": "Viewed ",
    "leave": "Left ",
    "click": "Clicked ",
    "rage_click": "Rage-clicked ",
    "submit": "Submitted ",
    "change": "Changed ",
}

# Events of PostHog's own that are more than `other`: their action, the words that it says, and what
# stands where nothing else is said.
_OF_EVENTS = {
    "$dead_click": ("dead_click", "Clicked without any effect", "an element"),
    "$exception": ("error", "Ran into an error", "an error"),
    "$identify": ("identify", "Was identified (signed in or signed up)", "signed in or up"),
}

_AT_ONCE_SECONDS = 3.0
"""So soon after a click it is told that it was one of rage, or without effect."""


@dataclass
class Entry:
    """What a user did, once or several times in a row; or nothing, for a while (`idle`)."""

    at: float
    """Seconds after the start of the session."""
    action: str
    """The action type; `event` for custom events; `dead_click`, `error`, `identify`; `other` for
    what else the rules do not know, whose action type is a guess; `idle`."""
    text: str
    """The sentence, without the word that the action says and without the page where that is the
    one last viewed."""
    page: str | None = None
    times: int = 1
    until: float = 0.0
    """Seconds after the start, of the last of these times; of `idle`, its end."""
    signal: str | None = None
    """The kind of signal that shows here."""


@dataclass
class Timeline:
    """A session, told."""

    project: str
    session_id: str
    person: str
    """Pseudonym."""
    started_at: float
    """Unix time."""
    seconds: float
    events: int
    pages: int
    """Different ones."""
    entry: str | None
    """The first page, and the last."""
    exit: str | None
    device: str | None
    outline: str
    signals: list[Signal]
    entries: list[Entry]
    is_open: bool = False
    """Whether more may come."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Events that say nothing of what the user did, by name."""


def build_timeline(
    project: str,
    session_id: str,
    person: str,
    events: Sequence[SessionEvent],
    *,
    is_open: bool = False,
) -> Timeline:
    """Tell a session. `events` are all of its events, one at least, in any order."""
    ordered = sorted(events, key=lambda event: event.occurred_at)
    start = ordered[0].occurred_at
    noise = _heartbeats(ordered)
    told = [event for event in ordered if event.event not in noise]
    pages = [page_of(event.path_template) for event in told]
    visits = _visits(told, pages)
    entries = _entries(told, pages, start)
    signals = find_signals(entries)
    return Timeline(
        project=project,
        session_id=session_id,
        person=person,
        started_at=start,
        seconds=ordered[-1].occurred_at - start,
        events=len(ordered),
        pages=len(set(visits)),
        entry=visits[0] if visits else None,
        exit=visits[-1] if visits else None,
        device=next((event.device for event in ordered if event.device), None),
        outline=_outline(visits, entries),
        signals=signals,
        entries=entries,
        is_open=is_open,
        dropped=Counter(event.event for event in ordered if event.event in noise),
    )


def page_of(path_template: str | None) -> str | None:
    """A page as it stands in sentences: masked and safe."""
    return safe_path(mask(path_template), _MAX_PAGE) if path_template else None


def _heartbeats(events: Sequence[SessionEvent]) -> set[str]:
    """The names of events that say nothing: PostHog's own noise, and what comes like a clock."""
    times: dict[str, list[float]] = {}
    for event in events:
        times.setdefault(event.event, []).append(event.occurred_at)
    return {name for name, moments in times.items() if name in _NOISE or _beats(name, moments)}


def _beats(name: str, moments: Sequence[float]) -> bool:
    if name.startswith("$"):
        return False
    if _HEARTBEAT.search(name):
        return True
    if len(moments) < _FEWEST_BEATS:
        return False
    gaps = [after - before for before, after in pairwise(moments)]
    mean = fmean(gaps)
    return mean >= 1 and pstdev(gaps) <= _EVENNESS * mean


def _visits(events: Iterable[SessionEvent], pages: Iterable[str | None]) -> list[str]:
    """The pages in the order in which they were viewed; where none was, those of other events."""
    seen = [
        (event.event_type == "pageview" or event.event == "$screen", page)
        for event, page in zip(events, pages, strict=True)
        if page
    ]
    views = [page for is_view, page in seen if is_view] or [page for _, page in seen]
    return [page for at, page in enumerate(views) if at == 0 or views[at - 1] != page]


def _entries(
    events: Sequence[SessionEvent], pages: Sequence[str | None], start: float
) -> list[Entry]:
    entries: list[Entry] = []
    current: str | None = None
    before = start
    for at, (event, page) in enumerate(zip(events, pages, strict=True)):
        seconds = event.occurred_at - start
        if event.occurred_at - before >= IDLE_SECONDS:
            entries.append(Entry(before - start, "idle", "", current, until=seconds))
        before = event.occurred_at
        if event.action_type == "leave" and page == current and _says_nothing(events, at):
            continue
        _add(entries, _entry(event, page, current, seconds))
        if page:
            current = page
    return entries


def _says_nothing(events: Sequence[SessionEvent], at: int) -> bool:
    """Whether leaving a page is only the beginning of viewing the next one, or the end."""
    if at + 1 == len(events):
        return True
    following = events[at + 1]
    is_view = following.event_type == "pageview"
    return is_view and following.occurred_at - events[at].occurred_at < IDLE_SECONDS


def _add(entries: list[Entry], entry: Entry) -> None:
    """Add an entry, or fold it into the last ones: the same again, or what is told of a click."""
    last = entries[-1] if entries else None
    if last and _is_of_the_same_click(last, entry):
        if entry.action == "click":
            entry.action = last.action
        elif last.action == "click":
            # What happened is the click; that it was one of these, is told of it.
            entries.pop()
            entry = replace(last, action=entry.action, until=entry.at)
            last = entries[-1] if entries else None
        else:
            last.until = entry.at
            return
    if last and (last.action, last.text, last.page) == (entry.action, entry.text, entry.page):
        last.times += entry.times
        last.until = entry.until
    else:
        entries.append(entry)


def _is_of_the_same_click(last: Entry, entry: Entry) -> bool:
    if last.page != entry.page or entry.at - last.until > _AT_ONCE_SECONDS:
        return False
    if entry.action == "dead_click":
        return last.action == "click"
    actions = {last.action, entry.action}
    is_rage = "rage_click" in actions and actions <= {"rage_click", "click"}
    return is_rage and last.text == entry.text


def _entry(event: SessionEvent, page: str | None, current: str | None, seconds: float) -> Entry:
    action = {"custom": "event", "unknown": "other"}.get(event.event_type, event.action_type)
    text = event.description
    if event.event == "$screen" and page:
        return Entry(seconds, "view", page, page, until=seconds)
    told = _OF_EVENTS.get(event.event)
    verb = told[1] if told else _VERBS.get(action)
    if verb and text.startswith(verb):
        text = text[len(verb) :]
        action = told[0] if told else action
    if page and page == current and action not in {"view", "leave"}:
        before, found, after = text.rpartition(f" on {page}")
        # What follows the page is the detail, if anything.
        if found and (not after or after.startswith(" (")):
            text = before + after
    if told and action == told[0]:
        text = text.strip() or told[2]
        text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    signal = "error" if is_error(event.event) else None
    return Entry(seconds, action, text, page, until=seconds, signal=signal)


def _outline(visits: Sequence[str], entries: Sequence[Entry]) -> str:
    """The way through the pages, and what was done that has a name."""
    shown = list(visits)
    if len(shown) > _MOST_PAGES_OF_OUTLINE:
        half = _MOST_PAGES_OF_OUTLINE // 2
        left_out = len(shown) - 2 * half
        shown = [*shown[:half], f"({left_out} more)", *shown[-half:]]
    way = " → ".join(shown) or "no page"
    names = Counter(
        entry.text.partition(" on ")[0].partition(" (")[0]
        for entry in entries
        if entry.action == "event" and len(entry.text) <= _MAX_PAGE
    )
    sent = sum(entry.times for entry in entries if entry.action == "submit")
    done = [name for name, _ in names.most_common(4)]
    if sent:
        done.append(f"{sent} form{'s' if sent > 1 else ''} sent")
    return f"{way}; {', '.join(done)}" if done else way
