"""The three forms of a timeline: text in few tokens, Markdown, JSON; more or less brief.

Pure. `rendering` decides which entries are written, and how briefly.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal, NamedTuple, get_args

from enrichment_pipeline.events.detail import split_detail
from enrichment_pipeline.events.masked import masked_id, masked_text
from enrichment_pipeline.events.safe_text import cut
from enrichment_pipeline.llm.entries import Entry
from enrichment_pipeline.llm.signals import Signal
from enrichment_pipeline.llm.timelines import Timeline
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline.wording import counted

Form = Literal["text", "markdown", "json"]
FORMS: tuple[Form, ...] = get_args(Form)

Line = Entry | Counter[str]
"""An entry, or the number of omitted events by action in its place."""


class Brevity(NamedTuple):
    """How much is written around the entries."""

    signals: int
    """So many signals with details, the others as a number."""
    length: int
    """Characters of a signal."""
    outline: int
    """Characters of the outline."""
    noise: int
    """How many names of dropped events are written."""
    is_least: bool = False
    """Whether only the required parts of a timeline are written."""


WHOLE = Brevity(signals=12, length=200, outline=2_000, noise=20)
SHORT = Brevity(signals=3, length=60, outline=60, noise=3)
LEAST = Brevity(signals=0, length=0, outline=30, noise=0, is_least=True)

_MAX_NAME = 80
_LEAST_OF_SIGNAL = 20
_ID_TOKENS = 36
_OUTLINE_TOKENS = 12


def write(timeline: Timeline, lines: Sequence[Line], form: Form, brevity: Brevity) -> str:
    """The timeline in this form, with these lines."""
    return _WRITERS[form](timeline, lines, brevity)


def _text(timeline: Timeline, lines: Sequence[Line], brevity: Brevity) -> str:
    session = _session(timeline, brevity)
    # The id of a session without an id of its own begins with the person.
    is_named = not timeline.person or session.startswith(f"{timeline.person}@")
    who = "" if is_named else f" {timeline.person},"
    head = [f"session {session},{who} {_when(timeline)}"]
    if brevity.is_least:
        head.append(_length(timeline, brevity))
    else:
        head.append(f"{_length(timeline, brevity)}; {timeline.device or 'device unknown'}")
    # The outline begins with the entry and ends with the exit, unless it is cut.
    if brevity == SHORT:
        head.append(f"entry {timeline.entry or 'unknown'}, exit {timeline.exit or 'unknown'}")
    head.append(f"outline: {_outline(timeline, brevity)}")
    if signals := _signals(timeline, brevity):
        head.append(f"signals: {signals}")
    head.append("seconds action what")
    shown = [text_line(line, where, brevity) for line, where in _with_places(lines)]
    return "\n".join([*head, *shown]) + "\n"


def text_line(line: Line, where: str, brevity: Brevity = WHOLE) -> str:
    """A line of the text; `where` is its page, where that is to be said."""
    if isinstance(line, Counter):
        return f"… {_left_out(line, brevity)}"
    mark = "! " if line.signal else ""
    return f"{mark}{line.at:.0f} {line.action} {_what(line, where)}"


def _markdown(timeline: Timeline, lines: Sequence[Line], brevity: Brevity) -> str:
    who, when = timeline.person or "unknown", f"{_when(timeline)}, {_length(timeline, brevity)}"
    outline, signals = _outline(timeline, brevity), _signals(timeline, brevity)
    if brevity.is_least:
        opening = [f"{who}, {when}; {outline}", *([f"Signals: {signals}"] if signals else [])]
    else:
        opening = [
            f"- **Who:** {who}, {timeline.device or 'device unknown'}",
            f"- **When:** {when}",
            f"- **Pages:** from {timeline.entry or 'unknown'} to {timeline.exit or 'unknown'}",
            f"- **Outline:** {outline}",
            *([f"- **Signals:** {signals}"] if signals else []),
        ]
    head = [f"## Session {_session(timeline, brevity)}", "", *opening, ""]
    head += ["| s | action | what |", "|--:|---|---|"]
    rows = [_markdown_line(line, where, brevity) for line, where in _with_places(lines)]
    return "\n".join([*head, *rows]) + "\n"


def _markdown_line(line: Line, where: str, brevity: Brevity) -> str:
    if isinstance(line, Counter):
        return f"| … | | {_left_out(line, brevity)} |"
    mark = " ⚠" if line.signal else ""
    # No sentence contains a bar; one of an older version may.
    what = _what(line, where).replace("|", "/")
    return f"| {line.at:.0f} | {line.action}{mark} | {what} |"


class ShownLine(NamedTuple):
    """A line of a timeline, as text has it."""

    second: int
    """After the start of the session; with the session's handle it cites the line."""
    action: str
    what: str
    signal: str | None


def shown_lines(timeline: Timeline) -> list[ShownLine]:
    """All lines of a timeline."""
    return [
        ShownLine(int(f"{line.at:.0f}"), line.action, _what(line, where), line.signal)
        for line, where in _with_places(timeline.entries)
        if isinstance(line, Entry)
    ]


def timeline_as_data(
    timeline: Timeline, lines: Sequence[Line], brevity: Brevity = WHOLE
) -> dict[str, object]:
    """The timeline as JSON has it, with these lines."""
    most = None if brevity == WHOLE else brevity.signals
    first, others = _foremost(timeline.signals, most)
    shown: dict[str, object] = {
        "session_id": _session_id(timeline, brevity),
        "person": timeline.person,
        "started_at": f"{_moment(timeline.started_at):%Y-%m-%dT%H:%M:%SZ}",
        "seconds": round(timeline.seconds),
        "events": timeline.events,
        "more_signals": Counter(signal.kind for signal in others),
        "entries": [_json_line(line, brevity) for line in lines],
    }
    if not brevity.is_least:
        shown |= {
            "project": timeline.project,
            "outline": _outline(timeline, brevity),
            "signals": [signal._asdict() | {"at": round(signal.at, 1)} for signal in first],
            "pages": timeline.pages,
            "entry": timeline.entry,
            "exit": timeline.exit,
            "device": timeline.device,
            "is_open": timeline.is_open,
            "dropped": _dropped(timeline, brevity),
            "merged": timeline.merged,
        }
    if timeline.handle:
        shown["session"] = timeline.handle
    if timeline.not_read:
        shown["not_read"] = timeline.not_read
    return shown


def _json(timeline: Timeline, lines: Sequence[Line], brevity: Brevity) -> str:
    shown = timeline_as_data(timeline, lines, brevity)
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))


def _json_line(line: Line, brevity: Brevity) -> dict[str, object]:
    if isinstance(line, Counter):
        events = _events(line) if brevity.is_least else 0
        return {"left_out": {"events": events} if events else dict(line)}
    shown: dict[str, object] = {"at": round(line.at, 1), "action": line.action}
    if line.action == "idle":
        shown["seconds"] = round(line.until - line.at)
    else:
        shown["what"] = line.text
    if line.times > 1:
        shown |= {"times": line.times, "until": round(line.until, 1)}
    if line.page:
        shown["page"] = line.page
    if line.signal:
        shown["signal"] = line.signal
    return shown


_WRITERS: dict[Form, Callable[[Timeline, Sequence[Line], Brevity], str]] = {
    "text": _text,
    "markdown": _markdown,
    "json": _json,
}


def _session(timeline: Timeline, brevity: Brevity) -> str:
    return timeline.handle or _session_id(timeline, brevity)


def _session_id(timeline: Timeline, brevity: Brevity) -> str:
    session = masked_id(timeline.session_id)
    return _cut_to(session, _ID_TOKENS) if brevity.is_least else session


def _cut_to(text: str, tokens: int) -> str:
    while estimate_tokens(text) > tokens:
        text = cut(text, len(text) * 3 // 4)
    return text


def _with_places(lines: Sequence[Line]) -> Iterator[tuple[Line, str]]:
    """The lines, each with its page if that differs from the last one shown."""
    shown: str | None = None
    for line in lines:
        where = ""
        if isinstance(line, Entry) and line.page:
            # Views and leaves name their page themselves; for idle time it is worth its tokens.
            says_page = line.action in {"view", "leave"}
            if not says_page and (line.page != shown or line.action == "idle"):
                where = f" on {line.page}"
            shown = line.page
        yield line, where


def _what(entry: Entry, where: str) -> str:
    if entry.action == "idle":
        return f"{duration_of(entry.until - entry.at)}{where}"
    times = f" × {entry.times}" if entry.times > 1 else ""
    name, detail = split_detail(entry.text)
    return f"{name}{where} {detail}{times}" if detail else f"{name}{where}{times}"


def _when(timeline: Timeline) -> str:
    return f"{_moment(timeline.started_at):%Y-%m-%d %H:%M:%S} UTC"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _length(timeline: Timeline, brevity: Brevity) -> str:
    still = ", still going on" if timeline.is_open else ""
    events = counted(timeline.events, "event")
    dropped = timeline.dropped.total()
    not_shown = [f"{dropped} noise"] if dropped else []
    not_shown += [f"{timeline.merged} merged"] if timeline.merged else []
    if not_shown and not brevity.is_least:
        events += f" ({', '.join(not_shown)})"
    if timeline.not_read:
        read = timeline.events - timeline.not_read
        events += f", of which the first {counted(read, 'is read', 'are read')}"
    return f"{duration_of(timeline.seconds)}{still}, {events}"


def duration_of(seconds: float) -> str:
    """`45s`, `4m12s`, `1h3m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if minutes else f"{hours}h"


def _outline(timeline: Timeline, brevity: Brevity) -> str:
    outline = cut(timeline.outline, brevity.outline)
    return _cut_to(outline, _OUTLINE_TOKENS) if brevity.is_least else outline


def _dropped(timeline: Timeline, brevity: Brevity) -> dict[str, int]:
    """Names of dropped events, in a form for models, and how many of each."""
    counts = Counter[str]()
    for at, (name, count) in enumerate(timeline.dropped.most_common()):
        counts[masked_text(name, _MAX_NAME) if at < brevity.noise else "…"] += count
    return dict(counts)


def _signals(timeline: Timeline, brevity: Brevity) -> str:
    """The signals, on one line; empty if there are none."""
    first, others = _foremost(timeline.signals, brevity.signals)
    moments: dict[tuple[str, str], list[str]] = {}
    for signal in first:
        moments.setdefault((signal.kind, signal.text), []).append(f"{signal.at:.0f}s")
    shown = [
        f"{kind} at {', '.join(at)} ({_cut_signal(text, brevity.length)})"
        for (kind, text), at in moments.items()
    ]
    if others:
        counts = Counter(signal.kind for signal in others)
        more = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        shown.append(f"and {more}" if first else more)
    return "; ".join(shown)


def _cut_signal(text: str, limit: int) -> str:
    """Cut a signal but keep the page, which says where to look."""
    if len(text) <= limit:
        return text
    what, on, page = text.rpartition(" on ")
    where = f"{on}{page}"
    # Text within quotes is not a page.
    if not on or what.count('"') % 2 or len(where) > limit - _LEAST_OF_SIGNAL:
        what, where = text, ""
    return f"{cut(what, limit - len(where))}{where}"


def _foremost(signals: Sequence[Signal], most: int | None) -> tuple[list[Signal], list[Signal]]:
    """The first of each kind, then the earliest, at most `most`; and the others. Both by time."""
    met = Counter[str]()
    ranked = []
    for at, signal in enumerate(signals):
        ranked.append((met[signal.kind] > 0, at))
        met[signal.kind] += 1
    chosen = {at for _, at in sorted(ranked)[:most]}
    first = [signal for at, signal in enumerate(signals) if at in chosen]
    return first, [signal for at, signal in enumerate(signals) if at not in chosen]


def _left_out(actions: Counter[str], brevity: Brevity) -> str:
    if brevity.is_least and (events := _events(actions)):
        return f"left out: {counted(events, 'event')}"
    counts = ", ".join(f"{count} {action}" for action, count in actions.most_common())
    return f"left out: {counts}"


def _events(actions: Counter[str]) -> int:
    return actions.total() - actions["idle"]
