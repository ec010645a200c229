"""Short names of sessions and people, for models and people: `s12`, and `p3` for the person of the
session `s3`, their first one.

A session gets its number when it is first built, and keeps it for as long as it is in the table. A
session that is not built yet is named by its id, and a person without a built one by the pseudonym.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.ingest.people import person_join, pseudonym_key, pseudonym_sql

_HANDLE = re.compile(r"([sp])([1-9]\d{0,17})")

_Pair = tuple[str, str]


class NamedSession(NamedTuple):
    """The session that a handle names."""

    project: str
    session_id: str
    distinct_id: str


def session_named(connection: Connection, handle: str) -> NamedSession | None:
    """The session that `s12` names; None for any other text, or where there is none."""
    return _named(connection, handle, "s")


def person_named(connection: Connection, handle: str) -> NamedSession | None:
    """A session of the person that `p3` names; None for any other text, or where there is none."""
    return _named(connection, handle, "p")


def as_pseudonym(connection: Connection, who: str) -> str:
    """The pseudonym of the person that `p3` names, which says the project too; any other text as it
    is."""
    named = person_named(connection, who)
    if named is None:
        return who
    query = f"""
        SELECT {pseudonym_sql("one")} FROM (
            SELECT CAST(:project AS text) AS project, CAST(:distinct_id AS text) AS distinct_id
        ) one {person_join("one")}
    """
    of = {"project": named.project, "distinct_id": named.distinct_id}
    found = connection.execute(text(query), of | {"pseudonym_key": pseudonym_key(connection)})
    return str(found.scalar_one())


def _named(connection: Connection, handle: str, kind: str) -> NamedSession | None:
    found = _HANDLE.fullmatch(handle)
    if found is None or found[1] != kind:
        return None
    row = connection.execute(
        text(
            "SELECT project, session_id, distinct_id FROM session_timeline WHERE number = :number"
        ),
        {"number": int(found[2])},
    ).one_or_none()
    return NamedSession(*row) if row else None


_SESSIONS = text(
    """
    SELECT project, session_id, number FROM session_timeline
    JOIN unnest(CAST(:projects AS text[]), :ids) AS wanted (project, session_id)
        USING (project, session_id)
    WHERE number IS NOT NULL
    """
).bindparams(bindparam("ids", type_=ARRAY(Text)))

_PEOPLE = text(
    f"""
    SELECT wanted.project, wanted.distinct_id, (
        SELECT min(theirs.number) FROM session_timeline theirs
        WHERE theirs.project = wanted.project AND theirs.distinct_id = ANY(ARRAY(
            SELECT wanted.distinct_id
            UNION ALL
            SELECT other.distinct_id FROM person other
            WHERE other.project = wanted.project AND other.person_id = person.person_id
        ))
    ) AS number
    FROM unnest(CAST(:projects AS text[]), :ids) AS wanted (project, distinct_id)
    {person_join("wanted")}
    """
).bindparams(bindparam("ids", type_=ARRAY(Text)))


def session_handles(connection: Connection, sessions: Iterable[_Pair]) -> dict[_Pair, str]:
    """The handles of these sessions (project, session id); of one that is not built, none."""
    return _handles(connection, "s", sessions)


def person_handles(connection: Connection, people: Iterable[_Pair]) -> dict[_Pair, str]:
    """The handles of these people (project, distinct_id); of one without a session, none."""
    return _handles(connection, "p", people)


def _handles(connection: Connection, kind: str, wanted: Iterable[_Pair]) -> dict[_Pair, str]:
    # A site whose own ids look like this keeps to its ids.
    pairs = [pair for pair in dict.fromkeys(wanted) if not _HANDLE.fullmatch(pair[1])]
    if not pairs:
        return {}
    rows = connection.execute(
        _SESSIONS if kind == "s" else _PEOPLE,
        {"projects": [project for project, _ in pairs], "ids": [name for _, name in pairs]},
    )
    return {(row[0], row[1]): f"{kind}{row.number}" for row in rows if row.number is not None}
