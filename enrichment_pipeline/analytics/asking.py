"""What all questions have in common: of which events they are, and how an answer says that."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import Answer, moment, period
from enrichment_pipeline.analytics.steps import parse_step, write_step
from enrichment_pipeline.events.masked import masked_text
from enrichment_pipeline.store.analytics.selection import About, Step
from enrichment_pipeline.store.queue.changes import sessions_watermark
from enrichment_pipeline.store.windows.freshness import newest_moment
from enrichment_pipeline.wording import UserError

PREVIOUS = "previous"
"""Compared with: the time right before the period."""

MOST_HOURS = 24 * 366
"""The longest time for which people are followed."""

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


def _a_week_before(end: datetime) -> datetime:
    return end - _USUAL


def about_of(
    connection: Connection,
    asked: Asked,
    usual_start: Callable[[datetime], datetime] = _a_week_before,
) -> About:
    """The events that a question is about; `usual_start` says when those begin of a question that
    does not say it, from their end.

    Raises:
        UserError: the times do not go together, or the filter is no step.
    """
    start, end = asked.start, asked.end
    if end is None:
        end = (newest_moment(connection) or datetime.now(UTC)) + timedelta(seconds=1)
        # A start after the newest event is no mistake: nothing has happened since.
        end = max(end, start + timedelta(seconds=1)) if start else end
    try:
        start = start or usual_start(end)
    except OverflowError as error:
        raise UserError("the end is too early: no calendar has the time before it") from error
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


def step_of(written: str, question: str) -> Step:
    """A step that has a moment.

    Raises:
        UserError: it is none.
    """
    step = parse_step(written)
    if step.signal:
        raise UserError(f"a signal is no step of {question}: it has no moment; use it in where")
    return step


def shown_step(step: Step) -> str:
    """A step as it was asked for: it may be a name by strangers that somebody has copied."""
    return masked_text(write_step(step), _MAX_STEP)


def shown_where(about: About) -> str:
    """The filter, as the end of a sentence."""
    chosen = shown_step(about.where)
    return f"; where {chosen}" if chosen else ""


def shown_length(window: timedelta) -> str:
    """How long somebody is followed."""
    hours = window / timedelta(hours=1)
    return f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours"


def shown_freshness(connection: Connection) -> str:
    """Up to when signals are known, as the end of a sentence."""
    return f"; signals of sessions built up to {sessions_watermark(connection):%Y-%m-%d %H:%M:%S}"


def nothing(about: About) -> Answer:
    """The answer where there is no such event."""
    return Answer(
        f"nothing found from {period(about)}{shown_where(about)}; an earlier start or fewer "
        "filters find more",
        [],
        [],
    )
