"""Comparing: in what two kinds of sessions differ, for the commands, MCP and HTTP alike.

The queries belong to `store.analytics.comparing`, the tests to `difference`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import (
    Answer,
    Cell,
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
    shown_step,
    shown_where,
)
from enrichment_pipeline.analytics.difference import FALSE, corrected, probability
from enrichment_pipeline.analytics.steps import parse_step
from enrichment_pipeline.store.analytics.comparing import FEWEST, Found, Sides, find_sides
from enrichment_pipeline.wording import UserError, counted

_COLUMNS = (
    *("what", "these", "these_%", "others", "others_%", "points", "q"),
    *("sessions_of_these", "sessions_of_others"),
)


class _Different(NamedTuple):
    found: Found
    points: float
    """The difference of the shares in percent."""
    q: float


def compare(
    connection: Connection,
    asked: Asked,
    step: str,
    *,
    against: str | None = None,
    limit: int = 10,
) -> Answer:
    """In what the sessions with a step in them differ most from those without it, or from those
    with the step `against`: what chance explains is left out.

    Raises:
        UserError: it cannot be asked like that; one line that says why.
    """
    if asked.compare_to is not None:
        raise UserError("sessions of one time are compared; count compares two times")
    wanted, other = parse_step(step), parse_step(against) if against else None
    if wanted == other:
        raise UserError("both sides are the same: the second step must be another one")
    about = about_of(connection, asked)
    sides = find_sides(connection, about, wanted, other)
    of_these, of_others = len(sides.these.sessions), len(sides.others.sessions)
    if not of_these and not of_others and not sides.both:
        return nothing(about)
    without = f"with {shown_step(other)}" if other else "without"
    summary = f"{counted(of_these, 'session')} with {shown_step(wanted)} (these), "
    summary += f"{of_others:,} {without} (others)"
    if sides.both:
        summary += f", {sides.both:,} with both left out"
    about_all = f"{shown_where(about)}; {period(about)}{shown_freshness(connection)}"
    if not of_these or not of_others:
        return Answer(f"{summary}: nothing to compare{about_all}", [], [])
    different = _different(sides)
    summary += (
        f"; median {sides.these.median_events:g} events a session against "
        f"{sides.others.median_events:g}. Tested: {_tested(sides.found)}, each in "
        f"{FEWEST} sessions or more; {_many(len(different))} by more than chance "
        f"(q: false discovery rate, at most {FALSE:g})"
    )
    rows = _rows(connection, sides, different[:limit])
    return Answer(f"{summary}{about_all}", _COLUMNS if rows else [], rows)


def _different(sides: Sides) -> list[_Different]:
    """What differs by more than chance, what differs most first."""
    many = len(sides.these.sessions), len(sides.others.sessions)
    found = [one for one in sides.found if one.what]
    tested = [probability(one.these, many[0], one.others, many[1]) for one in found]
    different = [
        _Different(one, 100 * (one.these / many[0] - one.others / many[1]), q)
        for one, q in zip(found, corrected(tested), strict=True)
        if q <= FALSE
    ]
    different.sort(key=lambda one: (-abs(one.points), one.q, one.found.kind, one.found.what))
    return different


def _rows(
    connection: Connection, sides: Sides, different: Sequence[_Different]
) -> list[list[Cell]]:
    named = shown_sessions(
        connection,
        [side for one in different for side in (one.found.newest, one.found.newest_others)],
    )
    of_these, of_others = len(sides.these.sessions), len(sides.others.sessions)
    return [
        [
            _written(one.found),
            one.found.these,
            percent(one.found.these, of_these),
            one.found.others,
            percent(one.found.others, of_others),
            round(one.points, 1),
            float(f"{one.q:.1g}"),
            named[2 * n],
            named[2 * n + 1],
        ]
        for n, one in enumerate(different)
    ]


def _written(found: Found) -> str:
    """As a step, so that it can be asked for."""
    # The others are masked and safe already.
    is_name = found.kind in ("event", "release")
    return f"{found.kind}={shown_name(found.what) if is_name else found.what}"


def _tested(found: Sequence[Found]) -> str:
    kinds = dict.fromkeys(one.kind for one in found)
    many = ((sum(one.kind == kind for one in found), kind) for kind in kinds)
    words = {"touched": ("touched element",)}
    return ", ".join(counted(number, *words.get(kind, (kind,))) for number, kind in many) or "0"


def _many(different: int) -> str:
    return f"{different:,} differ{'s' if different == 1 else ''}"
