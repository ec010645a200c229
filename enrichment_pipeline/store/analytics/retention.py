"""How many people who took a step in one period came back in each later one."""

from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import Connection

from enrichment_pipeline.store.analytics.selection import About, Acts, Session, Step, sessions

_EXAMPLES = 3


class Cohort(NamedTuple):
    """The people who took the step for the first time in one period."""

    place: int
    """Of the period: 0 is the first."""
    people: int
    came_back: dict[int, int]
    """How many came back so many periods later; none where it is missing."""
    never: int
    """How many came back in no later period."""
    newest: list[Session]
    """The newest sessions of those who came back, in which they did."""
    newest_of_never: list[Session]
    """The newest sessions of those who did not."""


_RETENTION = """
    WITH taken AS MATERIALIZED (
        SELECT act.person, floor(
                extract(epoch FROM act.occurred_at - :start)
                / extract(epoch FROM CAST(:length AS interval))
            )::int AS period,
            max(act.occurred_at) FILTER (WHERE {is_step}) AS stepped,
            max(act.occurred_at) FILTER (WHERE {is_back}) AS backed
        FROM {acts} WHERE {is_step} OR {is_back} GROUP BY 1, 2
    ),
    first AS MATERIALIZED (
        SELECT person, min(period) AS first, max(stepped) AS newest
        FROM taken WHERE stepped IS NOT NULL GROUP BY 1
    ),
    back AS MATERIALIZED (
        SELECT person, first, period - first AS later, backed
        FROM taken JOIN first USING (person) WHERE backed IS NOT NULL AND period > first
    ),
    of_person AS MATERIALIZED (
        SELECT person, first, back.newest IS NULL AS is_never,
            coalesce(back.newest, first.newest) AS newest
        FROM first
        LEFT JOIN (SELECT person, max(backed) AS newest FROM back GROUP BY 1) back USING (person)
    ),
    ranked AS (
        SELECT *, row_number() OVER (
            PARTITION BY first, is_never ORDER BY newest DESC, person
        ) AS place
        FROM of_person
    ),
    example AS (
        SELECT first, is_never, array_agg(person ORDER BY place) AS people,
            array_agg(newest ORDER BY place) AS moments
        FROM ranked WHERE place <= {examples} GROUP BY 1, 2
    )
    SELECT first, is_never, many, people, moments,
        ARRAY(SELECT later FROM back WHERE back.first = found.first GROUP BY 1 ORDER BY 1),
        ARRAY(
            SELECT count(*) FROM back WHERE back.first = found.first
            GROUP BY later ORDER BY later
        )
    FROM (SELECT first, is_never, count(*) AS many FROM of_person GROUP BY 1, 2) found
    JOIN example USING (first, is_never)
"""

# An index finds the events of few moments.
_SESSIONS = """
    SELECT act.person, act.occurred_at, min(ARRAY[act.project, act.session] COLLATE "C")
    FROM {acts}
    WHERE act.occurred_at = ANY(CAST(:moments AS timestamptz[]))
        AND act.person = ANY(CAST(:people AS bigint[])) AND ({is_step} OR {is_back})
    GROUP BY 1, 2
"""


class _Row(NamedTuple):
    """Those of one period who came back, or did not."""

    first: int
    is_never: bool
    many: int
    people: list[int]
    moments: list[datetime]
    later: list[int]
    came_back: list[int]


def find_cohorts(
    connection: Connection, about: About, step: Step, back: Step, length: timedelta
) -> list[Cohort]:
    """The people of each period in which somebody took the step for the first time since the start
    of the question, and in how many periods after it they took the step `back`. Periods are so long
    and begin with the start.

    Raises:
        UnknownNameError: nothing is shown like a name of the question.
    """
    acts = Acts(connection, about)
    acts.parameters["length"] = length
    parts = {
        "acts": acts.of_people,
        "is_step": _taken(acts, step),
        "is_back": _taken(acts, back),
        "examples": _EXAMPLES,
    }
    rows = [_Row(*row) for row in cast("list[_Row]", acts.rows(_RETENTION.format(**parts)))]
    acts.parameters |= {
        "people": [one for row in rows for one in row.people],
        "moments": [one for row in rows for one in row.moments],
    }
    named = {(row[0], row[1]): row[2] for row in acts.rows(_SESSIONS.format(**parts))}
    found: dict[int, Cohort] = {}
    for row in rows:
        came_back = dict(zip(row.later, row.came_back, strict=True))
        cohort = found.setdefault(row.first, Cohort(row.first, 0, came_back, 0, [], []))
        newest = sessions([named[pair] for pair in zip(row.people, row.moments, strict=True)])
        found[row.first] = cohort._replace(
            people=cohort.people + row.many,
            **(
                {"never": row.many, "newest_of_never": newest}
                if row.is_never
                else {"newest": newest}
            ),
        )
    return sorted(found.values())


def _taken(acts: Acts, step: Step) -> str:
    """SQL: whether an `act` is the step; no step is any act of a user."""
    return acts.is_act() if step == Step() else acts.is_step(step)
