"""What people do before or after a step: the most common sequences of acts."""

from datetime import timedelta
from typing import Literal, NamedTuple, cast, get_args

from sqlalchemy import Connection

from enrichment_pipeline.store.analytics.selection import (
    SENTENCE,
    About,
    Acts,
    Session,
    Step,
    sessions,
)

Direction = Literal["after", "before"]
"""On which side of the step."""

DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

_EXAMPLES = 3


class Path(NamedTuple):
    """Acts one after the other, in the order of time."""

    acts: list[str]
    """Their sentences without details, from the step on (or back); empty: nothing more."""
    many: int
    """How many sessions, or people, did these first (or last before the step)."""
    newest: list[Session]


class Paths(NamedTuple):
    """The most common sequences, and of how many."""

    many: int
    """All that took the step."""
    common: list[Path]


# An act that is repeated at once stands for all of them: who clicks "+" three times and who clicks
# it four times does the same.
_PATHS = """
    WITH step AS MATERIALIZED (
        SELECT DISTINCT ON (who) who, occurred_at AS at, uuid AS of_event, session, project,
            {did} AS did
        FROM (SELECT {who} AS who, act.* FROM {acts}) act WHERE {is_step}
        ORDER BY who, occurred_at, uuid
    ),
    near AS (
        SELECT who, occurred_at, uuid, {did} AS did, step.did AS did_first
        FROM (SELECT {who} AS who, act.* FROM {acts} WHERE {is_act}) act JOIN step USING (who)
        WHERE (occurred_at, uuid) {beyond} (at, of_event) {in_time}
    ),
    changed AS (
        SELECT who, did, occurred_at, uuid, row_number() OVER acts AS place
        FROM (
            SELECT *, lag(did, 1, did_first) OVER acts AS did_last
            FROM near WINDOW acts AS (PARTITION BY who ORDER BY occurred_at {order}, uuid {order})
        ) near
        WHERE did <> did_last
        WINDOW acts AS (PARTITION BY who ORDER BY occurred_at {order}, uuid {order})
    ),
    path AS (
        SELECT who, array_agg(did COLLATE "C" ORDER BY place) AS acts
        FROM changed WHERE place <= :depth GROUP BY 1
    ),
    of_step AS MATERIALIZED (
        SELECT acts[1 : length] AS acts, at, session, project
        FROM (
            SELECT CASE WHEN cardinality(acts) = :depth THEN acts
                ELSE array_append(acts, '') END AS acts, at, session, project
            FROM step LEFT JOIN path USING (who)
        ) whole, generate_series(1, cardinality(acts)) AS length
    ),
    common AS (
        SELECT acts, count(*) AS many FROM of_step GROUP BY 1
    ),
    best AS MATERIALIZED (
        SELECT *, row_number() OVER (ORDER BY many DESC, acts COLLATE "C") AS place
        FROM common ORDER BY place LIMIT :limit
    ),
    newest AS (
        SELECT acts, array_agg(ARRAY[project, session] ORDER BY recent) AS sessions
        FROM (
            SELECT acts, project, session, row_number() OVER (
                PARTITION BY acts ORDER BY at DESC, session COLLATE "C", project
            ) AS recent
            FROM of_step JOIN best USING (acts)
        ) ranked
        WHERE recent <= {examples} GROUP BY 1
    )
    SELECT 0 AS place, CAST(NULL AS text[]), (SELECT count(*) FROM step), CAST(NULL AS text[])
    UNION ALL
    SELECT place, acts, many, sessions FROM best JOIN newest USING (acts) ORDER BY 1
"""


def find_paths(
    connection: Connection,
    about: About,
    step: Step,
    direction: Direction,
    depth: int,
    limit: int,
    window: timedelta | None,
) -> Paths:
    """What sessions do right after, or before, they take a step for the first time: up to so
    many acts. With a `window`, what people do in so long a time, in whatever session.

    Raises:
        UnknownNameError: nothing is shown like a name of the question.
    """
    acts = Acts(connection, about)
    acts.parameters |= {"depth": depth, "limit": limit}
    is_after = direction == "after"
    distance = "occurred_at - at" if is_after else "at - occurred_at"
    everything, *found = acts.rows(
        _PATHS.format(
            who="act.key" if window is None else "act.person",
            acts=acts.table if window is None else acts.of_people,
            did=SENTENCE,
            is_step=acts.is_step(step),
            is_act=acts.is_act(),
            beyond=">" if is_after else "<",
            order="ASC" if is_after else "DESC",
            in_time="" if window is None else f"AND {distance} <= {acts.add(window)}",
            examples=_EXAMPLES,
        )
    )
    return Paths(
        cast(int, everything[2]),
        [Path(*cast("tuple[list[str], int]", row[1:3]), sessions(row[3])) for row in found],
    )
