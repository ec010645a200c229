"""Writing what one person did, within a budget of tokens: text for models, data for programs."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from enrichment_pipeline.events.masked import masked_id, masked_text
from enrichment_pipeline.events.safe_text import cut
from enrichment_pipeline.llm.forms import Form, duration_of
from enrichment_pipeline.llm.person import PersonReport
from enrichment_pipeline.llm.timelines import Timeline
from enrichment_pipeline.llm.tokens import estimate_tokens
from enrichment_pipeline.wording import counted

FEWEST_TOKENS_OF_PERSON = 300
"""A smaller budget may not fit what is said of all sessions together."""

_MOST_NAMED = 12
_MAX_SIGNAL = 200
# The length of the outline, and how many signals are said.
_WHOLE = (2_000, 12)
_SHORT = (100, 2)


def write_person(report: PersonReport, form: Form, max_tokens: int | None) -> str:
    """The report in the form of an HTTP answer; Markdown is the text.

    Raises:
        ValueError: as `person_as_text`.
    """
    if form != "json":
        return person_as_text(report, max_tokens)
    return json.dumps(person_as_data(report), default=str, ensure_ascii=False)


def person_as_text(report: PersonReport, max_tokens: int | None = None) -> str:
    """The report on one line for each fact, then some for each session, the newest first. With
    `max_tokens` outlines and signals are shortened, and then the oldest sessions left out.

    Raises:
        ValueError: `max_tokens` is below `FEWEST_TOKENS_OF_PERSON`.
    """
    whole = [_session(one, *_WHOLE) for one in report.sessions]
    written = _written(report, whole, len(whole))
    if max_tokens is None or estimate_tokens(written) <= max_tokens:
        return written
    if max_tokens < FEWEST_TOKENS_OF_PERSON:
        raise ValueError(
            f"{max_tokens} tokens are too few for a person; {FEWEST_TOKENS_OF_PERSON} will do"
        )
    short = [_session(one, *_SHORT) for one in report.sessions]
    shown = len(short)
    while shown and estimate_tokens(written := _written(report, short, shown)) > max_tokens:
        shown -= 1
    return written if shown else _written(report, short, 0)


def person_as_data(report: PersonReport) -> dict[str, object]:
    """The report as JSON has it."""
    return {
        "person": report.person,
        "handle": report.handle,
        "project": report.project,
        "start": report.start,
        "end": report.end,
        "first_seen": report.first_seen,
        "is_new": report.is_new,
        "signals": dict(report.signals),
        "new_pages": list(report.new_pages),
        "new_events": list(report.new_events),
        "unfinished": [one._asdict() for one in report.unfinished],
        "sessions_not_read": report.sessions_not_read,
        "sessions": [
            {
                "session": one.handle,
                "session_id": masked_id(one.session_id),
                "started_at": _moment(one),
                "seconds": round(one.seconds),
                "events": one.events,
                "device": one.device,
                "outline": one.outline,
                "signals": [signal._asdict() for signal in one.signals],
            }
            for one in report.sessions
        ],
    }


def _written(report: PersonReport, sessions: Sequence[str], shown: int) -> str:
    days = len({_moment(one).date() for one in report.sessions})
    who = report.handle or report.person
    events = sum(one.events for one in report.sessions)
    many = counted(len(report.sessions) + report.sessions_not_read, "session")
    known = "new here" if report.is_new else f"known since {report.first_seen:%Y-%m-%d}"
    during = f"{report.start:%Y-%m-%d %H:%M} to {report.end:%Y-%m-%d %H:%M} UTC"
    lines = [
        f"{who}, {during}: {many} on {counted(days, 'day')}, {counted(events, 'event')}; {known}"
    ]
    if report.signals:
        ranked = sorted(report.signals.items(), key=lambda pair: (-pair[1], pair[0]))
        lines.append(f"signals: {', '.join(f'{kind} {many}' for kind, many in ranked)}")
    if new := [*report.new_pages, *report.new_events]:
        lines.append(f"new: {_some(new)}")
    if report.unfinished:
        left = [f"{one.what} ({one.session}, {one.at:%m-%d %H:%M})" for one in report.unfinished]
        lines.append(f"not finished: {_some(left)}")
    lines += sessions[:shown]
    if left_out := len(sessions) - shown + report.sessions_not_read:
        lines.append(f"… {counted(left_out, 'earlier session')}")
    return "\n".join(lines) + "\n"


def _some(names: Sequence[str]) -> str:
    more = f", … {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _session(timeline: Timeline, outline: int, signals: int) -> str:
    said = [
        f"{signal.kind} at {signal.at:.0f} s: {masked_text(signal.text, _MAX_SIGNAL)}"
        for signal in timeline.signals[:signals]
    ]
    if more := len(timeline.signals) - len(said):
        said.append(f"{more} more")
    lines = [
        f"{_moment(timeline):%Y-%m-%d %H:%M}  {timeline.handle or masked_id(timeline.session_id)}  "
        f"{duration_of(timeline.seconds)}, {counted(timeline.events, 'event')}; "
        f"{timeline.device or 'device unknown'}",
        f"  {cut(timeline.outline, outline)}",
        *([f"  ! {'; '.join(said)}"] if said else []),
    ]
    return "\n".join(lines)


def _moment(timeline: Timeline) -> datetime:
    return datetime.fromtimestamp(timeline.started_at, UTC)
