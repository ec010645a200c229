"""How many events, sessions and people there are, by one property; in two periods at once."""

from datetime import datetime
from typing import Literal, NamedTuple, get_args

from sqlalchemy import Connection

from enrichment_pipeline.store.analytics.selection import (
    IS_TOUCH,
    JOINED,
    TOUCHED,
    About,
    Acts,
    Session,
    sessions,
)

By = Literal[
    "event",
    "touched",
    "page",
    "signal",
    "signal_page",
    "device",
    "release",
    "hour",
    "day",
    "project",
]
"""What events are counted by; `signal_page` is a signal with the page on which it was."""

BYS: tuple[By, ...] = get_args(By)

EXAMPLES = 3
"""The most sessions that are named for a number."""

_RELEASES = ("$app_version", "app_version", "release", "version", "build")
RELEASE = "coalesce({}, 'unknown')".format(
    ", ".join(f"act.properties ->> '{name}'" for name in _RELEASES)
)
"""SQL: the release of the product that an `act` names."""


class Number(NamedTuple):
    """How many there are in a period."""

    events: int
    sessions: int
    people: int


class Counted(NamedTuple):
    """The events of one value, in the period and in the earlier one."""

    what: str | datetime | None
    """None: all events that were chosen."""
    now: Number
    before: Number
    newest: list[Session]
    """The newest of the sessions."""


# Grouped by session and distinct_id first: what is distinct is not counted by sorting all events.
_COUNT = """
    WITH grouped AS MATERIALIZED (
        SELECT {what} AS what, is_before, act.key, act.whose, count(*)::int AS events,
            max(act.occurred_at) AS newest, min(act.session COLLATE "C") AS session,
            min(act.project COLLATE "C") AS project
        FROM {acts} {signals}
        GROUP BY 1, 2, 3, 4
    ),
    of_session AS MATERIALIZED (
        SELECT what, is_before, key, sum(events)::int AS events, max(newest) AS newest,
            min(session) AS session, min(project) AS project
        FROM grouped GROUP BY 1, 2, 3
    ),
    of_person AS MATERIALIZED (
        SELECT DISTINCT what, is_before, coalesce(joined_person, whose) AS person
        FROM grouped LEFT JOIN ({joined}) joined USING (whose)
    ),
    counted AS (
        SELECT what,
            coalesce(sum(events) FILTER (WHERE NOT is_before), 0)::bigint AS events,
            count(*) FILTER (WHERE NOT is_before) AS sessions,
            coalesce(sum(events) FILTER (WHERE is_before), 0)::bigint AS events_before,
            count(*) FILTER (WHERE is_before) AS sessions_before
        FROM of_session WHERE what IS NOT NULL GROUP BY 1
    ),
    people AS (
        SELECT what, count(*) FILTER (WHERE NOT is_before) AS people,
            count(*) FILTER (WHERE is_before) AS people_before
        FROM of_person WHERE what IS NOT NULL GROUP BY 1
    ),
    best AS MATERIALIZED (
        SELECT *, row_number() OVER (ORDER BY {order}) AS place
        FROM counted JOIN people USING (what) ORDER BY place LIMIT :limit
    ),
    newest AS (
        SELECT what, array_agg(
            ARRAY[project, session] ORDER BY newest DESC, session, project
        ) AS sessions
        FROM (
            SELECT what, session, project, newest, row_number() OVER (
                PARTITION BY what ORDER BY newest DESC, session, project
            ) AS place
            FROM of_session JOIN best USING (what) WHERE NOT is_before
        ) ranked
        WHERE place <= {examples} GROUP BY 1
    )
    SELECT 0 AS place, NULL AS what, {of_all}, CAST(NULL AS text[])
    UNION ALL
    SELECT best.place, what, best.events, best.sessions, people, events_before, sessions_before,
        people_before, newest.sessions
    FROM best LEFT JOIN newest USING (what)
    ORDER BY 1
"""

# Counted by grouping: to count what is distinct, PostgreSQL sorts.
_OF_ALL = """
    (SELECT coalesce(sum(events), 0)::bigint FROM of_session WHERE {0}),
    (SELECT count(*) FROM (SELECT key FROM of_session WHERE {0} GROUP BY 1) sessions),
    (SELECT count(*) FROM (SELECT person FROM of_person WHERE {0} GROUP BY 1) people)
"""
_SIGNALS = """
    LEFT JOIN session_timeline listed
        ON listed.project = act.project AND listed.session_id = act.session AND {listed}
    LEFT JOIN LATERAL unnest(listed.{column}) AS signal ON true
"""
OF_SESSIONS = {"signal": "signals", "signal_page": "signal_pages"}
"""What a session as a whole has, and the column of `session_timeline` that says it."""

_AT = "CASE WHEN is_before THEN act.occurred_at + CAST({} AS interval) ELSE act.occurred_at END"

_MOST_FIRST = 'events DESC, sessions DESC, what COLLATE "C"'
_MOST_SESSIONS_FIRST = 'sessions DESC, events DESC, what COLLATE "C"'
_MOST_CHANGED_FIRST = f"abs(sessions - sessions_before) DESC, {_MOST_FIRST}"


def count_acts(connection: Connection, about: About, by: By, limit: int) -> list[Counted]:
    """The number of all chosen events, then those of each value, the most frequent first; of two
    periods, those first whose number of sessions has changed most; of times, the earliest first.

    Raises:
        UnknownNameError: nothing is shown like a name of the question.
    """
    acts = Acts(connection, about)
    acts.parameters["limit"] = limit
    first = _MOST_SESSIONS_FIRST if by in OF_SESSIONS else _MOST_FIRST
    order = _MOST_CHANGED_FIRST if about.before else first
    statement = _COUNT.format(
        what=_what(acts, by),
        acts=acts.table,
        signals=_SIGNALS.format(listed=acts.listed(), column=OF_SESSIONS[by])
        if by in OF_SESSIONS
        else "",
        order="what" if by in ("hour", "day") else order,
        examples=EXAMPLES,
        joined=JOINED,
        of_all=f"{_OF_ALL.format('NOT is_before')}, {_OF_ALL.format('is_before')}",
    )
    return [
        Counted(row[1], Number(*row[2:5]), Number(*row[5:8]), sessions(row[8]))  # type: ignore[arg-type]
        for row in acts.rows(statement)
    ]


def _what(acts: Acts, by: By) -> str:
    if by in ("hour", "day"):
        return f"date_trunc('{by}', {_AT.format(acts.add(acts.about.shift))})"
    if by == "event":
        return acts.shown("event")
    if by == "page":
        return acts.shown("path_template")
    return {
        "touched": f"CASE WHEN {IS_TOUCH} THEN {TOUCHED} END",
        "signal": "signal",
        "signal_page": "signal",
        "device": "coalesce(act.device, 'unknown')",
        "release": RELEASE,
        "project": "act.project",
    }[by]
