"""Retention: who took a step, and came back; for the commands, MCP and HTTP alike.

The query belongs to `store.analytics.retention`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple, get_args

from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import (
    Answer,
    Cell,
    moment,
    percent,
    period,
    shown_sessions,
)
from enrichment_pipeline.analytics.asking import (
    Asked,
    about_of,
    nothing,
    shown_step,
    shown_where,
    step_of,
)
from enrichment_pipeline.store.analytics.retention import Cohort, find_cohorts
from enrichment_pipeline.store.analytics.selection import About, Step
from enrichment_pipeline.store.windows.freshness import newest_moment
from enrichment_pipeline.wording import UserError, counted

Every = Literal["day", "week"]
"""How long a period is."""

EVERIES: tuple[Every, ...] = get_args(Every)

MOST_PERIODS = 12

_USUAL_PERIODS = 8
_LENGTHS: dict[Every, timedelta] = {"day": timedelta(days=1), "week": timedelta(days=7)}
_SHARES_IN_SUMMARY = 4


class _Period(NamedTuple):
    start: datetime
    is_over: bool


def retention(
    connection: Connection,
    asked: Asked,
    step: str | None = None,
    *,
    back: str | None = None,
    every: Every = "week",
) -> Answer:
    """How many people who took a step for the first time in a period came back to take it again, or
    the step `back`, in each later period. Without a step any act is one.

    Raises:
        UserError: it cannot be asked like that; one line that says why.
    """
    if asked.compare_to is not None:
        raise UserError("retention is of one time: ask once for each")
    wanted = step_of(step, "retention") if step else Step()
    again = step_of(back, "retention") if back else wanted
    length = _LENGTHS[every]
    about = about_of(connection, asked, lambda end: _usual_start(end, length))
    many = -((about.start - about.end) // length)
    if many > MOST_PERIODS:
        raise UserError(
            f"{counted(many, every)} are too many, at most {MOST_PERIODS}: name a later start"
        )
    found = find_cohorts(connection, about, wanted, again, length)
    if not found:
        return nothing(about)
    # Before the first of them, nobody could come back.
    first = found[0].place
    periods = list(_periods(about, many, length, newest_moment(connection)))[first:]
    cohorts = _all_of([one._replace(place=one.place - first) for one in found], len(periods))
    columns = ["from", "people", *(f"{every}_{n}" for n in range(1, len(periods)))]
    columns += ["not_over", "never_back", "newest_sessions", "newest_of_never"]
    named = shown_sessions(
        connection, [those for one in cohorts for those in (one.newest, one.newest_of_never)]
    )
    rows = [
        [*_row(cohort, periods, every), *named[2 * cohort.place : 2 * cohort.place + 2]]
        for cohort in cohorts
    ]
    later = "again" if again == wanted else "later"
    summary = (
        f"{_people(sum(one.people for one in cohorts))} {_did(wanted)} for the first time; "
        f"{_did(again)} {later} {_shares(cohorts, periods, every)}{_open(periods, every)}"
    )
    return Answer(f"{summary}{shown_where(about)}; {period(about)}", columns, rows)


def _usual_start(end: datetime, length: timedelta) -> datetime:
    """The start of a day, or Monday: the last period is that of the end."""
    last = end.astimezone(UTC) - timedelta(microseconds=1)
    day = last.replace(hour=0, minute=0, second=0, microsecond=0)
    if length > timedelta(days=1):
        day -= timedelta(days=day.weekday())
    return day - (_USUAL_PERIODS - 1) * length


def _periods(
    about: About, many: int, length: timedelta, newest: datetime | None
) -> Iterator[_Period]:
    """The periods that have begun; one is over if there are events from after it."""
    newest = newest or about.start
    for place in range(many):
        start = about.start + place * length
        if place and start > newest:
            break
        yield _Period(start, start + length <= min(about.end, newest))


def _all_of(found: Sequence[Cohort], many: int) -> list[Cohort]:
    """A cohort for each period, also where it has nobody."""
    by_place = {one.place: one for one in found}
    return [by_place.get(place) or Cohort(place, 0, {}, 0, [], []) for place in range(many)]


def _row(cohort: Cohort, periods: Sequence[_Period], every: Every) -> list[Cell]:
    later = range(1, len(periods))
    last = len(periods) - cohort.place
    numbers = [cohort.came_back.get(n, 0) if n < last else None for n in later]
    names = ["people", *(f"{every}_{n}" for n in later)]
    not_over = [
        names[place - cohort.place]
        for place in range(cohort.place, len(periods))
        if not periods[place].is_over
    ]
    start = moment(periods[cohort.place].start)
    return [start, cohort.people, *numbers, ", ".join(not_over) or None, cohort.never]


def _shares(cohorts: Sequence[Cohort], periods: Sequence[_Period], every: Every) -> str:
    """The shares over all cohorts, of those whose period is over."""
    said: list[str] = []
    for later in range(1, len(periods)):
        those = [
            one
            for one in cohorts
            if one.place + later < len(periods) and periods[one.place + later].is_over
        ]
        of = sum(one.people for one in those)
        if of and len(said) < _SHARES_IN_SUMMARY:
            came = sum(one.came_back.get(later, 0) for one in those)
            said.append(f"{every}_{later}: {percent(came, of)} % ({came:,} of {of:,})")
    return f"(of those whose {every} is over) {', '.join(said)}" if said else "(none is over yet)"


def _open(periods: Sequence[_Period], every: Every) -> str:
    said = [moment(one.start) for one in periods if not one.is_over]
    if not said:
        return ""
    return f"; the {every} from {', '.join(said)} is not over: not_over names its numbers"


def _did(step: Step) -> str:
    return f"took the step {shown_step(step)}" if step != Step() else "did anything"


def _people(many: int) -> str:
    return counted(many, "person", "people")
