"""How many sessions, or people, come from step to step, and what those do who come no further."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple, cast

from sqlalchemy import Connection

from enrichment_pipeline.store.analytics.selection import (
    SENTENCE,
    About,
    Acts,
    Session,
    Step,
    sessions,
)

_EXAMPLES = 3
_MOST_INSTEAD = 3


class Reached(NamedTuple):
    """Those that came to a step."""

    many: int
    before: int
    """In the earlier period."""
    stopped: list[Session]
    """The newest sessions that came no further."""
    instead: list[tuple[str, int]]
    """What those who came no further did next, and how many; an empty text: nothing."""
    signals: list[tuple[str, int]]
    """The signals of the sessions of those who came no further, and how many of them have each."""


_Row = tuple[int, int, object, list[str], list[int], list[str], list[int]]

# `start_n` of an act is the latest time at which those who came to step n with it can have begun.
_FUNNEL = """
    WITH start_0 AS (
        SELECT {who} AS who, is_before, act.session, act.project, act.occurred_at, {are_steps}
        FROM {acts} WHERE {is_any}
    ),
    {starts},
    reached AS MATERIALIZED (
        SELECT who, is_before, ended, CASE {furthest} ELSE 0 END AS furthest
        FROM (
            SELECT who, is_before, ARRAY[{ends}] AS ended FROM start_{last} GROUP BY 1, 2
        ) ends
    ),
    stopped AS MATERIALIZED (
        SELECT who, furthest, ended[furthest] AS ended
        FROM reached WHERE furthest > 0 AND NOT is_before
    ),
    example AS (
        SELECT furthest, session, row_number() OVER (
            PARTITION BY furthest ORDER BY ended DESC, session
        ) AS place
        FROM (
            SELECT who, furthest, ended, min(ARRAY[project, session] COLLATE "C") AS session
            FROM stopped JOIN start_0 USING (who)
            WHERE start_0.occurred_at = ended GROUP BY 1, 2, 3
        ) ended
    ),
    next AS (
        SELECT who, min(ARRAY[act.occurred_at::text, act.description] COLLATE "C") AS act
        FROM stopped JOIN (SELECT {who} AS who, act.* FROM {acts} WHERE NOT is_before) act
            USING (who)
        WHERE furthest < {last} AND act.occurred_at > ended AND {is_act}
            AND NOT (ARRAY[{conditions}])[furthest]
        GROUP BY 1
    ),
    instead AS (
        SELECT furthest, did, count(*) AS many, row_number() OVER (
            PARTITION BY furthest ORDER BY count(*) DESC, did COLLATE "C"
        ) AS place
        FROM (
            SELECT furthest, coalesce({did}, '') AS did
            FROM stopped LEFT JOIN (SELECT who, act[2] AS description FROM next) act USING (who)
            WHERE furthest < {last}
        ) found GROUP BY 1, 2
    ),
    signals AS (
        SELECT furthest, signal, count(DISTINCT who) AS many, row_number() OVER (
            PARTITION BY furthest ORDER BY count(DISTINCT who) DESC, signal COLLATE "C"
        ) AS place
        FROM (
            SELECT DISTINCT who, furthest, project, session AS session_id
            FROM stopped JOIN start_0 USING (who) WHERE NOT is_before AND furthest < {last}
        ) theirs JOIN session_timeline USING (project, session_id), unnest(signals) AS signal
        WHERE {listed} GROUP BY 1, 2
    )
    SELECT (SELECT count(*) FROM reached WHERE furthest >= step AND NOT is_before),
        (SELECT count(*) FROM reached WHERE furthest >= step AND is_before),
        ARRAY(
            SELECT session FROM example WHERE furthest = step AND place <= {examples}
            ORDER BY place
        ),
        ARRAY(SELECT did FROM instead WHERE furthest = step AND place <= {most} ORDER BY place),
        ARRAY(SELECT many FROM instead WHERE furthest = step AND place <= {most} ORDER BY place),
        ARRAY(SELECT signal FROM signals WHERE furthest = step AND place <= {most} ORDER BY place),
        ARRAY(SELECT many FROM signals WHERE furthest = step AND place <= {most} ORDER BY place)
    FROM generate_series(1, {last}) AS step ORDER BY step
"""

_START = """
    start_{n} AS (
        SELECT *, CASE WHEN is_{n} {in_time} THEN latest_{n} END AS start_{n} FROM (
            SELECT *, max({start}) OVER (
                PARTITION BY who, is_before ORDER BY occurred_at {frame}
            ) AS latest_{n} FROM start_{before}
        ) before
    )
"""
# An act is not the same step twice.
_LATER_ONLY = "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW EXCLUDE GROUP"


def follow(
    connection: Connection, about: About, steps: Sequence[Step], window: timedelta | None
) -> list[Reached]:
    """How many come from step to step in this order: sessions, or (with a `window`, the longest
    time from the first step to the last) people. Other acts may lie between. One act can be two
    steps, but not the same one twice.

    Raises:
        UnknownNameError: nothing is shown like a name of the question.
    """
    acts = Acts(connection, about)
    conditions = [acts.is_step(step) for step in steps]
    places = range(1, len(steps) + 1)
    in_time = "" if window is None else f"AND occurred_at - latest_{{n}} <= {acts.add(window)}"
    starts = [
        _START.format(
            n=n,
            before=n - 1,
            start=f"start_{n - 1}" if n > 1 else "CASE WHEN is_1 THEN occurred_at END",
            in_time=in_time.format(n=n),
            frame=_LATER_ONLY if n > 1 and steps[n - 1] == steps[n - 2] else "",
        )
        for n in places
    ]
    rows = acts.rows(
        _FUNNEL.format(
            who="act.key" if window is None else "act.person",
            acts=acts.table if window is None else acts.of_people,
            are_steps=", ".join(f"{conditions[n - 1]} AS is_{n}" for n in places),
            is_any=" OR ".join(conditions),
            starts=",".join(starts),
            ends=", ".join(
                f"max(occurred_at) FILTER (WHERE start_{n} IS NOT NULL)" for n in places
            ),
            furthest=" ".join(f"WHEN ended[{n}] IS NOT NULL THEN {n}" for n in reversed(places)),
            last=len(steps),
            is_act=acts.is_act(),
            conditions=", ".join(conditions),
            did=SENTENCE,
            examples=_EXAMPLES,
            most=_MOST_INSTEAD,
            listed=acts.listed(),
        )
    )
    return [
        Reached(
            row[0],
            row[1],
            sessions(row[2]),
            list(zip(row[3], row[4], strict=True)),
            list(zip(row[5], row[6], strict=True)),
        )
        for row in cast("list[_Row]", rows)
    ]
