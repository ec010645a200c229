"""People: the distinct_ids that belong to one person, and the pseudonyms of people.

Which events join two ids belongs to `events.people`; removing a person to `forget`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import md5, sha256
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.database.secrets import PSEUDONYM_KEY, secret

if TYPE_CHECKING:
    from enrichment_pipeline.events.raw_event import RawEvent

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('person ' || :project, 0))")

_READ = text(
    """
    SELECT distinct_id, person_id FROM person
    WHERE project = :project AND distinct_id = ANY(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(Text)))

_MOVE = text(
    """
    UPDATE person SET person_id = move.person
    FROM unnest(CAST(:old AS uuid[]), CAST(:new AS uuid[])) AS move (old, person)
    WHERE project = :project AND person_id = move.old
    """
)
# The table holds only people who have been identified.
_ADD = text(
    """
    INSERT INTO person (project, distinct_id, person_id, is_identified)
    SELECT :project, distinct_id, person, true
    FROM unnest(CAST(:ids AS text[]), CAST(:people AS uuid[])) AS added (distinct_id, person)
    """
)

# The candidates that have no event (except on a day that is about to be dropped): neither an
# enriched one, which an index finds, nor one that waits to be enriched or is dead.
_LEAVING = """
    WITH candidate AS MATERIALIZED ({candidates}),
    unfinished AS MATERIALIZED (
        SELECT DISTINCT one.project, one.person_id
        FROM raw_event event JOIN person one USING (project, distinct_id)
        WHERE {elsewhere} AND event.batch_id = ANY(ARRAY(
            SELECT id FROM raw_batch WHERE enriched_count < event_count
        ))
    )
    SELECT project, person_id FROM candidate
    WHERE NOT EXISTS (
        SELECT FROM unfinished WHERE unfinished.project = candidate.project
            AND unfinished.person_id = candidate.person_id
    ) AND (
        SELECT true FROM person one JOIN enriched_event event
            ON event.distinct_id = one.distinct_id AND event.project = one.project
        WHERE one.project = candidate.project AND one.person_id = candidate.person_id
            AND {elsewhere}
        LIMIT 1
    ) IS NULL
"""
_SEEN_ON_DAY = """
    SELECT DISTINCT one.project, one.person_id
    FROM (
        SELECT project, distinct_id FROM raw_event
        WHERE occurred_at >= :start AND occurred_at < :end
        UNION
        SELECT project, distinct_id FROM enriched_event
        WHERE occurred_at >= :start AND occurred_at < :end
    ) seen JOIN person one USING (project, distinct_id)
"""
_ON_ANOTHER_DAY = "(event.occurred_at < :start OR event.occurred_at >= :end)"
_GIVEN = """
    SELECT * FROM unnest(CAST(:projects AS text[]), CAST(:people AS uuid[]))
        AS given (project, person_id)
"""


def person_join(of: str) -> str:
    """SQL: the join that `PERSON` needs; `of` is a table or alias with project and distinct_id."""
    return f"""
        LEFT JOIN person ON person.project = {of}.project
            AND person.distinct_id = {of}.distinct_id
    """


def person_sql(of: str) -> str:
    """SQL: the person of a row of `of`, after `person_join`; an id that is not joined is one
    itself."""
    return f"coalesce(person.person_id, md5({of}.project || chr(31) || {of}.distinct_id)::uuid)"


def pseudonym_sql(of: str) -> str:
    """SQL: the pseudonym of the person of a row of `of`, after `person_join`; takes :pseudonym_key.

    Knowing an e-mail address does not reveal whether its owner is in here: the key is secret.
    """
    return f"""
        'person_' || left(encode(sha256(convert_to(
            :pseudonym_key || {person_sql(of)}::text, 'UTF8'
        )), 'hex'), 10)
    """


def pseudonym_key(connection: Connection) -> str:
    """The key of the pseudonyms of this store."""
    return secret(connection, PSEUDONYM_KEY)


def pseudonym_of(key: str, person: UUID) -> str:
    """The pseudonym of a person, as `pseudonym_sql` computes it."""
    return "person_" + sha256(f"{key}{person}".encode()).hexdigest()[:10]


def lone_person(project: str, distinct_id: str) -> UUID:
    """The person of an id that is joined to no other, as `person_sql` computes it."""
    name = f"{project}\x1f{distinct_id}".encode()
    return UUID(md5(name, usedforsecurity=False).hexdigest())


def people_of(connection: Connection, project: str, distinct_ids: Iterable[str]) -> dict[str, UUID]:
    """The person of each of these ids."""
    wanted = sorted(set(distinct_ids))
    joined = identified_people(connection, project, wanted)
    return {one: joined.get(one) or lone_person(project, one) for one in wanted}


def also_known_as(
    connection: Connection, project: str | None, distinct_ids: Sequence[str]
) -> dict[str, list[str]]:
    """The other ids of each of these people, which are not among the given ids."""
    rows = connection.execute(
        text(
            """
            SELECT one.distinct_id, array_agg(DISTINCT other.distinct_id ORDER BY other.distinct_id)
            FROM person one
            JOIN person other ON other.project = one.project AND other.person_id = one.person_id
            WHERE one.distinct_id = ANY(:ids) AND other.distinct_id <> ALL(:ids)
                AND (CAST(:project AS text) IS NULL OR one.project = :project)
            GROUP BY 1 ORDER BY 1
            """
        ).bindparams(bindparam("ids", type_=ARRAY(Text))),
        {"ids": list(distinct_ids), "project": project},
    )
    return {row[0]: list(row[1]) for row in rows}


def ids_of(connection: Connection, project: str | None, distinct_id: str) -> list[str]:
    """All ids of the person who has this id; without a project, of the people in all projects."""
    rows = connection.execute(
        text(
            """
            SELECT other.distinct_id FROM person one
            JOIN person other ON other.project = one.project AND other.person_id = one.person_id
            WHERE one.distinct_id = :distinct_id
                AND (CAST(:project AS text) IS NULL OR one.project = :project)
            """
        ),
        {"project": project, "distinct_id": distinct_id},
    )
    return sorted({distinct_id, *rows.scalars()})


class _Link(NamedTuple):
    distinct_id: str
    other: str
    is_dangerous: bool
    """Whether it joins even two people who have both been identified."""


def join_people(connection: Connection, events: "Sequence[RawEvent]") -> None:
    """Join the ids that these events, in their order, link to one person.

    As PostHog's documentation says, only `$merge_dangerously` joins a person who is identified
    already to another; otherwise a device shared by two people would make them one.
    """
    by_project: dict[str, dict[_Link, None]] = {}
    for event in events:
        if event.other_id is not None:
            link = _Link(event.distinct_id, event.other_id, event.event == "$merge_dangerously")
            by_project.setdefault(event.project, {})[link] = None
    for project in sorted(by_project):
        links = list(by_project[project])
        ids = sorted({one for link in links for one in link[:2]})
        # SDKs repeat the same links: ids that are joined already cost no lock.
        known = identified_people(connection, project, ids)
        if any(_is_news(link, known) for link in links):
            connection.execute(_LOCK, {"project": project})
            _join(connection, project, links, identified_people(connection, project, ids))


def identified_people(connection: Connection, project: str, ids: Sequence[str]) -> dict[str, UUID]:
    """The person of each of these ids that was identified, or joined to one that was."""
    rows = connection.execute(_READ, {"project": project, "ids": list(ids)})
    return {row.distinct_id: row.person_id for row in rows}


def _is_news(link: _Link, known: Mapping[str, UUID]) -> bool:
    one, other = known.get(link.distinct_id), known.get(link.other)
    return one is None or other is None or (link.is_dangerous and one != other)


def _join(
    connection: Connection, project: str, links: Sequence[_Link], known: Mapping[str, UUID]
) -> None:
    """Join the ids that are not joined yet, in three statements however many links there are."""
    added: dict[str, UUID] = {}
    moves: dict[UUID, UUID] = {}

    def now(person: UUID) -> UUID:
        while person in moves:
            person = moves[person]
        return person

    def person_of(distinct_id: str) -> UUID | None:
        person = known.get(distinct_id) or added.get(distinct_id)
        return now(person) if person else None

    for link in links:
        person = person_of(link.distinct_id)
        if person is None:
            # Other ids may still have the person of an id that was forgotten.
            person = now(lone_person(project, link.distinct_id))
            added[link.distinct_id] = person
        other = person_of(link.other)
        if other is None:
            added[link.other] = person
        elif other != person and link.is_dangerous:
            moves[other] = person
    if moves:
        new = [now(old) for old in moves]
        connection.execute(_MOVE, {"project": project, "old": list(moves), "new": new})
    if added:
        people = [person_of(one) for one in added]
        connection.execute(_ADD, {"project": project, "ids": list(added), "people": people})


def forget_people(connection: Connection, project: str | None, distinct_ids: Sequence[str]) -> None:
    """Remove these ids from the table."""
    connection.execute(
        text(
            """
            DELETE FROM person
            WHERE distinct_id = ANY(:ids) AND (CAST(:project AS text) IS NULL OR project = :project)
            """
        ).bindparams(bindparam("ids", type_=ARRAY(Text))),
        {"ids": list(distinct_ids), "project": project},
    )


def people_of_day_alone(
    connection: Connection, start: datetime, end: datetime
) -> list[tuple[str, UUID]]:
    """Project and person of those in the table whose events are all between `start` and `end`."""
    statement = _LEAVING.format(candidates=_SEEN_ON_DAY, elsewhere=_ON_ANOTHER_DAY)
    rows = connection.execute(text(statement), {"start": start, "end": end})
    return [(row.project, row.person_id) for row in rows]


def forget_who_left(connection: Connection, people: Sequence[tuple[str, UUID]]) -> None:
    """Remove those of these people from the table who have no event any more. No events may be
    loaded meanwhile: a person enters the table with an event."""
    if not people:
        return
    leaving = _LEAVING.format(candidates=_GIVEN, elsewhere="true")
    connection.execute(
        text(
            f"""
            DELETE FROM person USING ({leaving}) leaving
            WHERE person.project = leaving.project AND person.person_id = leaving.person_id
            """
        ),
        {"projects": [one[0] for one in people], "people": [one[1] for one in people]},
    )
