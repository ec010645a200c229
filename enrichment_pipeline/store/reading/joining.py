"""Events without a session id that belong to a session of the same person, by their time.

Servers, and libraries without storage, send no session id: what they report happened in the session
that the person had then. What is left belongs to sessions that silence cuts (`reading`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.events.people import IDS_OF_NOBODY
from enrichment_pipeline.store.ingest.people import person_join, person_sql

NEAR = timedelta(minutes=30)
"""How far an event without a session id may be from one of the session that it joins."""

REACH = f"interval '{2 * NEAR.total_seconds():.0f}s'"
"""SQL: how far around a period events must be read: an event at its edge may have joined a session
that has an event this far away."""

# Time and session of an event as one text, whose greatest is the latest and whose least is the
# earliest. Times before 1970 must sort, too.
_DIGITS = 18
_KEY = f"""
    CASE WHEN session_id IS NOT NULL THEN lpad(
        (100000000000000000 + extract(epoch FROM occurred_at) * 1000000)::bigint::text,
        {_DIGITS}, '0'
    ) || session_id END COLLATE "C"
"""

# Any number of people share such an id, and their sessions.
_IS_NOBODY = "lower(btrim(btrim(event.distinct_id), $$'\"$$)) IN ({})".format(
    ", ".join(f"'{one}'" for one in sorted(IDS_OF_NOBODY))
)


def all_ids_sql(some: str) -> str:
    """SQL: project, distinct_id and person of all ids of the people in `some`, which is SQL with
    project and distinct_id."""
    return f"""
        SELECT DISTINCT one.project, coalesce(other.distinct_id, one.distinct_id) AS distinct_id,
            {person_sql("one")}::text AS person
        FROM ({some}) one {person_join("one")}
        LEFT JOIN person other
            ON other.project = person.project AND other.person_id = person.person_id
    """


def joined_sql(people: str, start: str, end: str) -> str:
    """SQL: project, uuid, occurred_at and session_id of each event that joins a session: without a
    session id, and no more than `NEAR` after an event of the same person that has one, or else
    before one. `people` is SQL as `all_ids_sql` makes it; `start` and `end` are SQL of moments,
    which bound the events that are read."""
    period = f"event.occurred_at >= {start} AND event.occurred_at < {end}"
    near = f"'{NEAR.total_seconds():.0f}s'"
    return f"""
        WITH who AS MATERIALIZED ({people}),
        quiet AS MATERIALIZED (
            SELECT DISTINCT who.project, who.person
            FROM who JOIN enriched_event event USING (project, distinct_id)
            WHERE event.session_id IS NULL AND {period} AND NOT {_IS_NOBODY}
        ),
        theirs AS MATERIALIZED (
            SELECT project, who.person, event.uuid, event.occurred_at, event.session_id
            FROM quiet JOIN who USING (project, person)
            JOIN enriched_event event USING (project, distinct_id)
            WHERE {period}
        ),
        placed AS (
            SELECT project, uuid, occurred_at, session_id,
                max({_KEY}) OVER earlier AS before,
                max(occurred_at) FILTER (WHERE session_id IS NOT NULL) OVER earlier AS before_at,
                min({_KEY}) OVER later AS after,
                min(occurred_at) FILTER (WHERE session_id IS NOT NULL) OVER later AS after_at
            FROM theirs JOIN (
                SELECT project, person FROM theirs GROUP BY 1, 2 HAVING count(session_id) > 0
            ) mixed USING (project, person)
            WINDOW earlier AS (PARTITION BY project, person ORDER BY occurred_at),
                later AS (PARTITION BY project, person ORDER BY occurred_at DESC)
        )
        SELECT project, uuid, occurred_at, substr(
            CASE WHEN occurred_at - before_at <= {near} THEN before ELSE after END, {_DIGITS + 1}
        ) AS session_id
        FROM placed
        WHERE session_id IS NULL
            AND (occurred_at - before_at <= {near} OR after_at - occurred_at <= {near})
    """


def joined_of_ids_sql() -> str:
    """SQL: as `joined_sql`, of the people who have one of `:ids` in `:project`, among the events
    between `:start` and `:end`."""
    given = "SELECT :project AS project, unnest(CAST(:ids AS text[])) AS distinct_id"
    return joined_sql(
        all_ids_sql(given),
        f"CAST(:start AS timestamptz) - {REACH}",
        f"CAST(:end AS timestamptz) + {REACH}",
    )


def in_session_sql(of: str) -> str:
    """SQL: whether a row of `of`, an alias of `enriched_event`, is of the session `:session_id`."""
    theirs = "FROM enriched_event WHERE session_id = :session_id"
    joined = joined_sql(
        all_ids_sql(f"SELECT DISTINCT project, distinct_id {theirs}"),
        f"(SELECT min(occurred_at) - {REACH} {theirs})",
        f"(SELECT max(occurred_at) + {REACH} {theirs})",
    )
    return f"""({of}.session_id = :session_id OR ({of}.occurred_at, {of}.uuid, {of}.project) IN (
        SELECT occurred_at, uuid, project FROM ({joined}) joined
        WHERE joined.session_id = :session_id
    ))"""


def session_joined(
    connection: Connection,
    project: str,
    distinct_ids: Sequence[str],
    start: datetime,
    end: datetime,
) -> str | None:
    """The session that the last event without a session id of this person in a period has joined;
    None if there is none, or it has joined none."""
    found = connection.execute(
        text(
            f"""
            SELECT session_id FROM ({joined_of_ids_sql()}) joined
            WHERE occurred_at >= :start AND occurred_at <= :end
            ORDER BY occurred_at DESC, uuid LIMIT 1
            """
        ).bindparams(bindparam("ids", type_=ARRAY(Text))),
        {"project": project, "ids": list(distinct_ids), "start": start, "end": end},
    ).scalar_one_or_none()
    return None if found is None else str(found)
