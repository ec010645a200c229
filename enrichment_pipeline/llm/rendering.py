"""Writing a timeline: as text in few tokens, as Markdown, as JSON; within a budget of tokens.

What is in a timeline belongs to `timelines`. Which of the three costs how much is measured by
`make bench`.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby
from typing import Literal, get_args

from enrichment_pipeline.events.safe_text import cut
from enrichment_pipeline.llm.signals import Signal
from enrichment_pipeline.llm.timelines import Entry, Timeline
from enrichment_pipeline.llm.tokens import estimate_tokens

Form = Literal["text", "markdown", "json"]
FORMS: tuple[Form, ...] = get_args(Form)

FEWEST_TOKENS = 200
"""A budget below that has no room for who, when and what the signals are."""

_SHORT = 60
_LONG = 200
_MOST_SIGNALS = 12
_FEW_SIGNALS = 3
_LEAST_OF_SIGNAL = 20

# What is left out first. A signal, what a user named or sent, and the longest silences are what a
# session is about.
_WEIGHTS = {"leave": 0, "other": 1, "idle": 2, "change": 2, "click": 2, "view": 3, "event": 4}
_WEIGHT_OF_THE_REST = 4
_WEIGHT_OF_SIGNALS = 6
_EDGES = 5
_LONGEST_SILENCES = 3

Line = Entry | Counter[str]
"""An entry, or how many of which action were left out in its place."""


def render(timeline: Timeline, form: Form = "text", max_tokens: int | None = None) -> str:
    """The timeline in this form. With `max_tokens` it keeps what matters most, says what it left
    out, and is estimated to have no more than that.

    Raises:
        ValueError: `max_tokens` is below `FEWEST_TOKENS`.
    """
    write = _WRITERS[form]
    whole = write(timeline, timeline.entries, False)
    if max_tokens is None or estimate_tokens(whole) <= max_tokens:
        return whole
    if max_tokens < FEWEST_TOKENS:
        raise ValueError(f"{max_tokens} tokens are too few for a timeline; {FEWEST_TOKENS} will do")
    return _within(timeline, write, max_tokens)


_Write = Callable[[Timeline, Sequence[Line], bool], str]


def _within(timeline: Timeline, write: _Write, max_tokens: int) -> str:
    ranked = _ranked(timeline.entries)
    fits, too_many = 0, len(ranked)
    best = write(timeline, _kept(timeline.entries, set()), True)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        written = write(timeline, _kept(timeline.entries, set(ranked[:middle])), True)
        if estimate_tokens(written) <= max_tokens:
            fits, best = middle, written
        else:
            too_many = middle
    return best


def _ranked(entries: Sequence[Entry]) -> list[int]:
    """The places of the entries, what matters most first; of two alike the one nearer to the
    beginning or the end."""
    silences = [at for at, entry in enumerate(entries) if entry.action == "idle"]
    silences.sort(key=lambda at: entries[at].at - entries[at].until)
    longest = set(silences[:_LONGEST_SILENCES])

    def rank(at: int) -> tuple[int, int, int]:
        entry = entries[at]
        weight = _WEIGHTS.get(entry.action, _WEIGHT_OF_THE_REST)
        if entry.signal or at in longest:
            weight = _WEIGHT_OF_SIGNALS
        from_edge = min(at, len(entries) - 1 - at)
        if from_edge < _EDGES:
            weight += 1
        return -weight, from_edge, at

    return sorted(range(len(entries)), key=rank)


def _kept(entries: Sequence[Entry], kept: set[int]) -> list[Line]:
    lines: list[Line] = []
    for is_kept, run in groupby(range(len(entries)), key=kept.__contains__):
        if is_kept:
            lines.extend(entries[at] for at in run)
        else:
            left_out: Counter[str] = Counter()
            for at in run:
                left_out[entries[at].action] += entries[at].times
            lines.append(left_out)
    return lines


def _text(timeline: Timeline, lines: Sequence[Line], is_short: bool) -> str:
    # The id of a session that has none of its own begins with the person.
    who = "" if timeline.session_id.startswith(f"{timeline.person}@") else f" {timeline.person},"
    head = [
        f"session {timeline.session_id},{who} {_when(timeline)}",
        f"{_length(timeline)}; {timeline.device or 'device unknown'}",
        # The outline begins with the entry and ends with the exit, if it is not cut.
        *(
            [f"entry {timeline.entry or 'unknown'}, exit {timeline.exit or 'unknown'}"]
            if is_short
            else []
        ),
        f"outline: {_outline(timeline, is_short)}",
        *(f"signals: {signals}" for signals in _signals(timeline, is_short)),
        "seconds action what",
    ]
    return "\n".join([*head, *map(_text_line, lines)]) + "\n"


def _text_line(line: Line) -> str:
    if isinstance(line, Counter):
        return f"… {_left_out(line)}"
    if line.action == "idle":
        return f"{line.at:.0f} idle {_silence(line)}"
    mark = "! " if line.signal else ""
    return f"{mark}{line.at:.0f} {line.action} {_what(line)}"


def _markdown(timeline: Timeline, lines: Sequence[Line], is_short: bool) -> str:
    head = [
        f"## Session {timeline.session_id}",
        "",
        f"- **Who:** {timeline.person}, {timeline.device or 'device unknown'}",
        f"- **When:** {_when(timeline)}, {_length(timeline)}",
        f"- **Pages:** from {timeline.entry or 'unknown'} to {timeline.exit or 'unknown'}",
        f"- **Outline:** {_outline(timeline, is_short)}",
        *(f"- **Signals:** {signals}" for signals in _signals(timeline, is_short)),
        "",
        "| s | action | what |",
        "|--:|---|---|",
    ]
    return "\n".join([*head, *map(_markdown_line, lines)]) + "\n"


def _markdown_line(line: Line) -> str:
    if isinstance(line, Counter):
        return f"| … | | {_left_out(line)} |"
    if line.action == "idle":
        return f"| {line.at:.0f} | idle | {_silence(line)} |"
    mark = " ⚠" if line.signal else ""
    return f"| {line.at:.0f} | {line.action}{mark} | {_what(line)} |"


def _json(timeline: Timeline, lines: Sequence[Line], is_short: bool) -> str:
    shown = asdict(timeline) | {
        "started_at": _moment(timeline.started_at).isoformat(timespec="milliseconds"),
        "seconds": round(timeline.seconds, 1),
        "outline": _outline(timeline, is_short),
        "signals": [
            signal._asdict() | {"at": round(signal.at, 1)}
            for signal in (
                _foremost(timeline.signals, _FEW_SIGNALS)[0] if is_short else timeline.signals
            )
        ],
        "signals_in_all": len(timeline.signals),
        "entries": [_json_line(line) for line in lines],
        # What asdict makes of a Counter counts its items.
        "dropped": dict(timeline.dropped),
    }
    return json.dumps(shown, ensure_ascii=False)


def _json_line(line: Line) -> dict[str, object]:
    if isinstance(line, Counter):
        return {"left_out": dict(line)}
    shown: dict[str, object] = {"at": round(line.at, 1), "action": line.action, "what": line.text}
    if line.action == "idle":
        del shown["what"]
        shown["seconds"] = round(line.until - line.at)
    if line.times > 1:
        shown |= {"times": line.times, "until": round(line.until, 1)}
    if line.page:
        shown["page"] = line.page
    if line.signal:
        shown["signal"] = line.signal
    return shown


_WRITERS: dict[Form, _Write] = {"text": _text, "markdown": _markdown, "json": _json}


def _what(entry: Entry) -> str:
    times = f" × {entry.times}" if entry.times > 1 else ""
    return f"{entry.text}{times}"


def _silence(entry: Entry) -> str:
    where = f" on {entry.page}" if entry.page else ""
    return f"{_duration(entry.until - entry.at)}{where}"


def _when(timeline: Timeline) -> str:
    return f"{_moment(timeline.started_at):%Y-%m-%d %H:%M:%S} UTC"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _length(timeline: Timeline) -> str:
    still = ", still going on" if timeline.is_open else ""
    dropped = timeline.dropped.total()
    noise = f" ({dropped} of them noise, not shown)" if dropped else ""
    events = f"{timeline.events} event{'s' if timeline.events != 1 else ''}"
    return f"{_duration(timeline.seconds)}{still}, {events}{noise}"


def _duration(seconds: float) -> str:
    """`45s`, `4m12s`, `1h3m`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if minutes else f"{hours}h"


def _outline(timeline: Timeline, is_short: bool) -> str:
    return cut(timeline.outline, _SHORT) if is_short else timeline.outline


def _signals(timeline: Timeline, is_short: bool) -> list[str]:
    """One line with the signals, or none where there are none."""
    if not timeline.signals:
        return []
    length = _SHORT if is_short else _LONG
    first, others = _foremost(timeline.signals, _FEW_SIGNALS if is_short else _MOST_SIGNALS)
    moments: dict[tuple[str, str], list[str]] = {}
    for signal in first:
        moments.setdefault((signal.kind, signal.text), []).append(f"{signal.at:.0f}s")
    shown = [
        f"{kind} at {', '.join(at)} ({_cut_signal(text, length)})"
        for (kind, text), at in moments.items()
    ]
    if others:
        counts = Counter(signal.kind for signal in others)
        shown.append("and " + ", ".join(f"{count} {kind}" for kind, count in counts.items()))
    return ["; ".join(shown)]


def _cut_signal(text: str, limit: int) -> str:
    """Of what is cut, the page stays: it says where to look. Quotes are closed again."""
    if len(text) <= limit:
        return text
    what, on, page = text.rpartition(" on ")
    where = f"{on}{page}"
    if not on or len(where) > limit - _LEAST_OF_SIGNAL:
        what, where = text, ""
    short = cut(what, limit - len(where) - 1)
    closing = '"' if short.count('"') % 2 else ""
    return f"{short}{closing}{where}"


def _foremost(signals: Sequence[Signal], most: int) -> tuple[list[Signal], list[Signal]]:
    """The first of each kind, then the earliest, no more than `most`; and the others. Both in the
    order of time."""
    met = Counter[str]()
    ranked = []
    for at, signal in enumerate(signals):
        ranked.append((met[signal.kind] > 0, at))
        met[signal.kind] += 1
    chosen = {at for _, at in sorted(ranked)[:most]}
    first = [signal for at, signal in enumerate(signals) if at in chosen]
    return first, [signal for at, signal in enumerate(signals) if at not in chosen]


def _left_out(actions: Counter[str]) -> str:
    told = ", ".join(f"{count} {action}" for action, count in actions.most_common())
    return f"left out: {told}"
