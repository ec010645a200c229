"""Counting and funnels: each from what was asked to its answer, for commands, MCP and HTTP alike.

The other questions have modules of their own. The queries belong to `store.analytics`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import (
    Answer,
    Cell,
    change,
    percent,
    period,
    shown_name,
    shown_sessions,
)
from enrichment_pipeline.analytics.asking import (
    Asked,
    about_of,
    nothing,
    shown_freshness,
    shown_length,
    shown_step,
    shown_where,
    step_of,
)
from enrichment_pipeline.store.analytics.counting import OF_SESSIONS, By, Counted, count_acts
from enrichment_pipeline.store.analytics.funnels import Reached, follow
from enrichment_pipeline.store.analytics.selection import About, Step
from enrichment_pipeline.wording import UserError, counted

MOST_STEPS = 8


def count(connection: Connection, asked: Asked, *, by: By = "event", limit: int = 10) -> Answer:
    """How many events, sessions and people there are, by a property of the events.

    Raises:
        UserError: it cannot be asked like that; one line that says why.
    """
    about = about_of(connection, asked)
    everything, *found = count_acts(connection, about, by, limit)
    is_of_sessions = by in OF_SESSIONS
    columns = [by, "events", "sessions", "people"]
    if about.before:
        columns += ["events_before", "sessions_before", "sessions_change_%"]
    named = shown_sessions(connection, [one.newest for one in found])
    rows: list[list[Cell]] = [
        [_shown(one, by), *_numbers(one, about), newest]
        for one, newest in zip(found, named, strict=True)
    ]
    events, sessions, people = everything.now
    total = f"{counted(events, 'event')}, {counted(sessions, 'session')}, {_people(people)}"
    if about.before:
        total += f" (before: {everything.before.events:,}, {everything.before.sessions:,}, "
        total += f"{everything.before.people:,})"
    if not events and not everything.before.events:
        return nothing(about)
    fresh = shown_freshness(connection) if is_of_sessions or about.where.signal else ""
    summary = f"{total}{shown_where(about)}; {period(about)}{fresh}"
    answer = Answer(summary, [*columns, "newest_sessions"], rows)
    # A signal is of its session, and of no event of it.
    return answer.without("events", "events_before") if is_of_sessions else answer


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
    wanted = [step_of(step, "a funnel") for step in steps]
    if not 1 < len(wanted) <= MOST_STEPS:
        raise UserError(f"a funnel has 2 to {MOST_STEPS} steps, not {len(wanted)}")
    about = about_of(connection, asked)
    reached = follow(connection, about, wanted, window)
    if not reached[0].many and not reached[0].before:
        return nothing(about)
    who = "people" if window else "sessions"
    columns = ["step", who, "of_first_%", "of_previous_%"]
    if about.before:
        columns += [f"{who}_before", "of_first_before_%"]
    columns += ["went_no_further", "did_instead", "their_signals", "newest_of_these"]
    named = shown_sessions(connection, [one.stopped for one in reached])
    rows = [[*_step(reached, n, wanted[n], about), named[n]] for n in range(len(wanted))]
    within = f" within {shown_length(window)}" if window else ""
    first, last = reached[0].many, reached[-1].many
    summary = f"{last:,} of {first:,} {who} come to the last step{within}"
    if about.before:
        summary += f" (before: {reached[-1].before:,} of {reached[0].before:,})"
    fresh = shown_freshness(connection) if any(one.signals for one in reached) else ""
    return Answer(f"{summary}{shown_where(about)}; {period(about)}{fresh}", columns, rows)


def _step(reached: Sequence[Reached], n: int, step: Step, about: About) -> list[Cell]:
    this, first = reached[n], reached[0]
    row: list[Cell] = [shown_step(step), this.many, percent(this.many, first.many)]
    row.append(percent(this.many, reached[n - 1].many) if n else None)
    if about.before:
        row += [this.before, percent(this.before, first.before)]
    is_last = n + 1 == len(reached)
    instead = [f"{did or 'nothing more'}: {many:,}" for did, many in this.instead]
    signals = [f"{signal}: {many:,}" for signal, many in this.signals]
    return [*row, None if is_last else this.many - reached[n + 1].many, instead, signals]


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


def _people(count: int) -> str:
    return counted(count, "person", "people")
