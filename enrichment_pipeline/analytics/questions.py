"""The questions: each from what was asked to its answer, for the commands, MCP and HTTP alike.

The queries belong to `store.analytics`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import (
    Answer,
    Cell,
    change,
    moment,
    percent,
    period,
    shown_name,
    shown_sessions,
)
from enrichment_pipeline.analytics.steps import parse_step, write_step
from enrichment_pipeline.events.masked import masked_text
from enrichment_pipeline.store.analytics.counting import By, Counted, count_acts
from enrichment_pipeline.store.analytics.funnels import Reached, follow
from enrichment_pipeline.store.analytics.selection import About, Step
from enrichment_pipeline.store.queue.changes import sessions_watermark
from enrichment_pipeline.store.windows.freshness import newest_moment
from enrichment_pipeline.wording import UserError, counted

PREVIOUS = "previous"
"""Compared with: the time right before the period."""

MOST_STEPS = 8

_MAX_STEP = 120
_USUAL = timedelta(days=7)


class Asked(NamedTuple):
    """What every question can be about; None: everything."""

    start: datetime | None = None
    """None: seven days before the end."""
    end: datetime | None = None
    """None: the newest event."""
    project: str | None = None
    person: str | None = None
    where: str | None = None
    """What is true of every event, as a step is written."""
    compare_to: datetime | str | None = None
    """The start of an earlier period of the same length, or `PREVIOUS`."""


def count(connection: Connection, asked: Asked, *, by: By = "event", limit: int = 10) -> Answer:
    """How many events, sessions and people there are, by a property of the events.

    Raises:
        UserError: it cannot be asked like that; one line that says why.
    """
    about = _about(connection, asked)
    everything, *found = count_acts(connection, about, by, limit)
    columns = [by, "events", "sessions", "people"]
    if about.before:
        columns += ["events_before", "sessions_before", "sessions_change_%"]
    rows = [[_shown(one, by), *_numbers(one, about), shown_sessions(one.newest)] for one in found]
    events, sessions, people = everything.now
    total = f"{counted(events, 'event')}, {counted(sessions, 'session')}, {_people(people)}"
    if about.before:
        total += f" (before: {everything.before.events:,}, {everything.before.sessions:,}, "
        total += f"{everything.before.people:,})"
    if not events and not everything.before.events:
        return _nothing(about)
    fresh = _fresh(connection) if by == "signal" or about.where.signal else ""
    summary = f"{total}{_where(about)}; {period(about)}{fresh}"
    return Answer(summary, [*columns, "newest_sessions"], rows)


def funnel(
    connection: Connection,
    asked: Asked,
    steps: Sequence[str],
    *,
    window: timedelta | None = None,
) -> Answer:
    """How many come from step to step, where they stop, and what they do instead.

    Raises:
        UserError: it cannot be asked like that; one line that says why.
    """
    wanted = [parse_step(step) for step in steps]
    if not 1 < len(wanted) <= MOST_STEPS:
        raise UserError(f"a funnel has 2 to {MOST_STEPS} steps, not {len(wanted)}")
    if any(step.signal for step in wanted):
        raise UserError("a signal is no step of a funnel: it has no moment; use it in where")
    about = _about(connection, asked)
    reached = follow(connection, about, wanted, window)
    if not reached[0].many and not reached[0].before:
        return _nothing(about)
    who = "people" if window else "sessions"
    columns = ["step", who, "of_first_%", "of_previous_%"]
    if about.before:
        columns += [f"{who}_before", "of_first_before_%"]
    columns += ["went_no_further", "did_instead", "newest_of_these"]
    rows = [_step(reached, n, wanted[n], about) for n in range(len(wanted))]
    within = f" within {_length(window)}" if window else ""
    first, last = reached[0].many, reached[-1].many
    summary = f"{last:,} of {first:,} {who} come to the last step{within}"
    if about.before:
        summary += f" (before: {reached[-1].before:,} of {reached[0].before:,})"
    return Answer(f"{summary}{_where(about)}; {period(about)}", columns, rows)


def _step(reached: Sequence[Reached], n: int, step: Step, about: About) -> list[Cell]:
    this, first = reached[n], reached[0]
    row: list[Cell] = [_written(step), this.many, percent(this.many, first.many)]
    row.append(percent(this.many, reached[n - 1].many) if n else None)
    if about.before:
        row += [this.before, percent(this.before, first.before)]
    is_last = n + 1 == len(reached)
    instead = [f"{did or 'nothing more'}: {many:,}" for did, many in this.instead]
    row += [None if is_last else this.many - reached[n + 1].many, instead]
    return [*row, shown_sessions(this.stopped)]


def _about(connection: Connection, asked: Asked, usual: timedelta = _USUAL) -> About:
    start, end = asked.start, asked.end
    if end is None:
        end = (newest_moment(connection) or datetime.now(UTC)) + timedelta(seconds=1)
        # A start after the newest event is no mistake: nothing has happened since.
        end = max(end, start + timedelta(seconds=1)) if start else end
    start = start or end - usual
    if start >= end:
        raise UserError("the start must be before the end")
    where = parse_step(asked.where) if asked.where else Step()
    before = asked.compare_to
    if isinstance(before, str):
        before = start - (end - start)
    if before and before + (end - start) > start:
        raise UserError(
            f"the period to compare with must end before {moment(start)}: it is as long as the "
            f"other, so it can begin at {moment(start - (end - start))} or earlier"
        )
    return About(start, end, asked.project, asked.person, where, before)


def _numbers(one: Counted, about: About) -> list[Cell]:
    if about.before is None:
        return list(one.now)
    before = one.before
    return [*one.now, before.events, before.sessions, change(one.now.sessions, before.sessions)]


def _shown(one: Counted, by: By) -> str:
    if isinstance(one.what, datetime):
        return f"{one.what:%Y-%m-%d %H:00}" if by == "hour" else f"{one.what:%Y-%m-%d}"
    # The others are masked and safe already.
    return shown_name(str(one.what)) if by in ("event", "release", "project") else str(one.what)


def _written(step: Step) -> str:
    """A step as it was asked for: it may be a name by strangers that somebody has copied."""
    return masked_text(write_step(step), _MAX_STEP)


def _people(count: int) -> str:
    return counted(count, "person", "people")


def _length(window: timedelta) -> str:
    hours = window / timedelta(hours=1)
    return f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours"


def _where(about: About) -> str:
    chosen = _written(about.where)
    return f"; where {chosen}" if chosen else ""


def _fresh(connection: Connection) -> str:
    return f"; signals of sessions built up to {sessions_watermark(connection):%Y-%m-%d %H:%M:%S}"


def _nothing(about: About) -> Answer:
    return Answer(
        f"nothing found from {period(about)}{_where(about)}; an earlier start or fewer filters "
        "find more",
        [],
        [],
    )
