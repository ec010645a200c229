"""The events that a question is about, with the session and the person of each, as a table in SQL.

All questions choose their events here. Events without a session id join a session that is near, or
belong to those that silence cuts, as in timelines.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

import msgspec
from sqlalchemy import Connection, text

from enrichment_pipeline.events.noise import NOISE
from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.ingest.people import person_join, pseudonym_key, pseudonym_sql
from enrichment_pipeline.store.reading.event_search import PSEUDONYM, ids_of_person
from enrichment_pipeline.store.reading.handles import as_pseudonym
from enrichment_pipeline.store.reading.joining import REACH, all_ids_sql, joined_sql
from enrichment_pipeline.store.reading.shown_names import (
    events_shown_as,
    like,
    masked_events,
    masked_pages,
    pages_shown_as,
    shown_event,
)
from enrichment_pipeline.store.sessions.reading import LONGEST, SILENCE

ANY_SIGNAL = "any"
"""Stands for every kind of signal."""

Session = tuple[str, str]
"""The project and the id of a session; in SQL an array of both."""

_LONGEST_LISTED = timedelta(days=7)
_MEMORY = "128MB"

_MOST_PLACED = 200_000


def sessions(found: object) -> list[Session]:
    """The sessions in an array of SQL."""
    return [(project, session) for project, session in cast("list[list[str]] | None", found) or ()]


class UnknownNameError(StoreError):
    """No event or page is shown like that: one line, with names that are like it."""


class Step(NamedTuple):
    """What is true of an event; None: anything."""

    event: str | None = None
    """Its name, as it was sent or as it is shown."""
    page: str | None = None
    """Its page as it is shown; with a `*` at its end, the beginning of the page."""
    touched: str | None = None
    """Its sentence without page and detail, or the label of the element in it."""
    did: str | None = None
    """Its whole sentence without detail, as funnels and paths show it."""
    signal: str | None = None
    """A kind of signal in its session, or `any`."""
    device: str | None = None


class About(NamedTuple):
    """The events that a question is about."""

    start: datetime
    end: datetime
    project: str | None = None
    person: str | None = None
    """A pseudonym or a distinct_id."""
    where: Step = Step()
    before: datetime | None = None
    """The start of an earlier period of the same length, to compare with."""

    @property
    def shift(self) -> timedelta:
        """How much earlier the earlier period is."""
        return self.start - self.before if self.before else timedelta()


# The sentence without its detail, as `events.detail.split_detail` cuts it.
SENTENCE = r"""
    CASE WHEN strpos(act.description, '=') > 0
        THEN regexp_replace(act.description, ' \([^\s()=]+=.*$', '') ELSE act.description END
"""
# Most pages stand in the sentence as they are: comparing takes a tenth of the time of a pattern.
TOUCHED = f"""
    CASE WHEN act.path_template IS NULL THEN {SENTENCE}
        WHEN right(act.description, length(act.path_template) + 4) = ' on ' || act.path_template
        THEN left(act.description, -length(act.path_template) - 4)
        ELSE regexp_replace({SENTENCE}, ' on ([^ "]+|"[^"]*")$', '') END
"""
"""The sentence without page and detail: `Clicked button "Buy now"`."""

IS_TOUCH = "act.element_tag IS NOT NULL"

JOINED = """
    SELECT hashtextextended(distinct_id, hashtext(project)) AS whose,
        hashtextextended(person_id::text, 1) AS joined_person
    FROM person
"""
"""The people who have more than one id, by `whose`."""

# Only these columns; PostgreSQL computes no others.
_COLUMNS = """
    event.project, event.uuid, event.occurred_at, event.event, event.path_template,
    event.description, event.element_tag, event.device, event.properties, event.distinct_id
"""
# A number that stands for an event.
_EVENT_KEY = """hashtextextended(
    event.uuid::text || event.project, (extract(epoch FROM event.occurred_at) * 1000000)::bigint
)"""
_SESSION_KEY = "hashtextextended({session}, hashtext({project}))"
_PERIOD = "event.occurred_at >= :{0} AND event.occurred_at < :{1}"

# A person has one pseudonym, but many events: hashing for each of them takes minutes. Without the
# OFFSET, PostgreSQL moves it to the events.
_WITHOUT_SESSION = f"""
    WITH joined AS MATERIALIZED ({{joined}})
    SELECT {_COLUMNS}, joined.session_id AS session
    FROM joined JOIN enriched_event event USING (project, uuid, occurred_at) WHERE {{chosen}}
    UNION ALL
    SELECT {_COLUMNS.replace("event.", "")}, pseudonym || '@' || to_char(
        min(occurred_at) OVER (PARTITION BY project, pseudonym, part, day) AT TIME ZONE 'UTC',
        'YYYYMMDD"T"HH24MISS"Z"'
    ) AS session
    FROM (
        SELECT *, CASE
            WHEN max(occurred_at) OVER whole - min(occurred_at) OVER whole > '{{longest}}'
            THEN date_trunc('day', occurred_at) END AS day
        FROM (
            SELECT *, count(cut) OVER (PARTITION BY project, pseudonym ORDER BY occurred_at) AS part
            FROM (
                SELECT {_COLUMNS}, who.pseudonym, CASE
                    WHEN event.occurred_at - lag(event.occurred_at) OVER (
                        PARTITION BY event.project, who.pseudonym ORDER BY event.occurred_at
                    ) > '{{silence}}' THEN 1 END AS cut
                FROM enriched_event event JOIN (
                    SELECT one.project, one.distinct_id, {{pseudonym}} AS pseudonym
                    FROM (
                        SELECT DISTINCT event.project, event.distinct_id
                        FROM enriched_event event
                        WHERE event.session_id IS NULL AND {{chosen}}
                    ) one {{join}}
                    OFFSET 0
                ) who USING (project, distinct_id)
                WHERE event.session_id IS NULL AND {{chosen}}
                    AND (event.occurred_at, event.uuid, event.project) NOT IN (
                        SELECT occurred_at, uuid, project FROM joined
                    )
            ) cut
        ) parts
        WINDOW whole AS (PARTITION BY project, pseudonym, part)
    ) days
"""


class Acts:
    """The chosen events, as the table `act` in SQL, and the parameters of that.

    Columns: project, session (its id), key (a number that stands for the session), whose (one that
    stands for the distinct_id), occurred_at, uuid, event, path_template, description, element_tag,
    device, properties, is_before (whether it is of the earlier period).

    Raises:
        UnknownNameError: nothing is shown like a name of the question.
    """

    def __init__(self, connection: Connection, about: About) -> None:
        self.connection = connection
        self.about = about
        self.parameters: dict[str, object] = {
            "start": about.start,
            "end": about.end,
            "pseudonym_key": pseudonym_key(connection),
        }
        self._chosen = self._choose()
        connection.execute(text(f"SET LOCAL work_mem = '{_MEMORY}'"))
        self.table = self._table()

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of a statement over `act`."""
        return [tuple(row) for row in self.connection.execute(text(statement), self.parameters)]

    def add(self, value: object) -> str:
        """A new parameter; returns its place in SQL."""
        name = f"given_{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def is_step(self, step: Step) -> str:
        """SQL: whether an `act` is this step."""
        conditions = []
        if step.event is not None:
            names = self._known("event", step.event, events_shown_as(self.connection, step.event))
            conditions.append(f"act.event = ANY(CAST({self.add(names)} AS text[]))")
        if step.page is not None:
            begins, page = step.page.endswith("*"), step.page.removesuffix("*")
            found = pages_shown_as(self.connection, page, begins=begins)
            pages = self.add(self._known("page", page, found))
            conditions.append(f"act.path_template = ANY(CAST({pages} AS text[]))")
            if step.event is None:
                # It says that the page was left, and may come after the view of the next one.
                conditions.append("act.event <> '$pageleave'")
        if step.touched is not None:
            conditions.append(self._is_touched(step.touched))
        if step.did is not None:
            conditions.append(f"{SENTENCE} = {self.add(step.did)}")
        if step.device is not None:
            conditions.append(f"act.device = {self.add(step.device)}")
        if step.signal is not None:
            conditions.append(self._has_signal(step.signal))
        return f"({' AND '.join(conditions) or 'true'}) IS TRUE"

    @property
    def of_people(self) -> str:
        """The table with one more column, person: a number that stands for the person."""
        return f"""(
            SELECT act.*, coalesce(joined_person, act.whose) AS person
            FROM {self.table} LEFT JOIN ({JOINED}) joined USING (whose)
        ) act"""

    def is_act(self) -> str:
        """SQL: whether an `act` says something about its user."""
        noise = self.add(sorted({*NOISE, "$pageleave"}))
        return f"act.event <> ALL(CAST({noise} AS text[]))"

    def shown(self, column: str) -> str:
        """SQL: the name of a page (`path_template`) or an event as it is shown."""
        names = masked_pages if column == "path_template" else masked_events
        masked: Mapping[str, str] = names(self.connection)
        if not masked:
            return f"act.{column}"
        names_shown = self.add(msgspec.json.encode(masked).decode())
        return f"coalesce(CAST({names_shown} AS jsonb) ->> act.{column}, act.{column})"

    def _known(self, kind: str, wanted: str, found: list[str]) -> list[str]:
        if not found:
            near = like(self.connection, kind, wanted)
            hint = f"; there is {', '.join(near)}" if near else ""
            raise UnknownNameError(f'no {kind} is shown as "{shown_event(wanted)}"{hint}')
        return found

    def _is_touched(self, touched: str) -> str:
        wanted = touched.strip('"') if touched[:1] == '"' else touched
        text_of, whole, on, label = (
            self.add(one.lower()) for one in (wanted, wanted, f"{wanted} on ", f'"{wanted}"')
        )
        return f"""({IS_TOUCH} AND strpos(lower(act.description), {text_of}) > 0 AND (
            strpos(lower(act.description), {label}) > 0 OR lower(act.description) = {whole}
            OR starts_with(lower(act.description), {on})
        ))"""

    def _has_signal(self, signal: str) -> str:
        has = "cardinality(signals) > 0"
        if signal != ANY_SIGNAL:
            has = f"{self.add(signal)} = ANY(signals)"
        return f"""(act.project, act.session) IN (
            SELECT project, session_id FROM session_timeline WHERE {has} AND {self.listed()}
        )"""

    def listed(self) -> str:
        """SQL: the rows of `session_timeline` that may have events of the question."""
        first = (self.about.before or self.about.start) - _LONGEST_LISTED
        days = (self.add(moment.astimezone(UTC).date()) for moment in (first, self.about.end))
        return "day >= {} AND day <= {}".format(*days)

    def _choose(self) -> str:
        about = self.about
        period = _PERIOD.format("start", "end")
        if about.before is not None:
            self.parameters |= {"before": about.before, "before_end": about.end - about.shift}
            period = f"({period} OR {_PERIOD.format('before', 'before_end')})"
        conditions = [period]
        if about.project is not None:
            conditions.append(f"event.project = {self.add(about.project)}")
        if about.person is not None:
            first = about.before or about.start
            person = as_pseudonym(self.connection, about.person)
            ids = ids_of_person(self.connection, about.project, person, first, about.end)
            conditions.append(f"event.distinct_id = ANY(CAST({self.add(ids)} AS text[]))")
            if person.startswith(PSEUDONYM):
                whose = self._pseudonyms(ids, person)
                conditions.append(f"event.project = ANY(CAST({self.add(whose)} AS text[]))")
        return " AND ".join(conditions)

    def _pseudonyms(self, ids: list[str], person: str) -> list[str]:
        """The projects in which somebody with one of these ids has this pseudonym: in another, the
        ids may be somebody else's."""
        rows = self.connection.execute(
            text(
                f"""
                SELECT DISTINCT one.project
                FROM (
                    SELECT project, distinct_id FROM enriched_event
                    WHERE distinct_id = ANY(CAST(:ids AS text[])) GROUP BY 1, 2
                ) one {person_join("one")}
                WHERE {pseudonym_sql("one")} = :person
                """
            ),
            {"ids": ids, "person": person, "pseudonym_key": self.parameters["pseudonym_key"]},
        )
        return list(rows.scalars())

    def _table(self) -> str:
        is_before = "false" if self.about.before is None else "found.occurred_at < :start"
        key = _SESSION_KEY.format(session="found.session", project="found.project")
        whose = "hashtextextended(found.distinct_id, hashtext(found.project))"
        table = f"""(
            SELECT found.*, {key} AS key, {whose} AS whose, {is_before} AS is_before
            FROM (
                SELECT {_COLUMNS}, event.session_id AS session
                FROM enriched_event event WHERE event.session_id IS NOT NULL AND {self._chosen}
                {self._without_session()}
            ) found
        ) act"""
        if self.about.where == Step():
            return table
        return f"(SELECT * FROM {table} WHERE {self.is_step(self.about.where)}) act"

    def _without_session(self) -> str:
        """SQL: the events without a session id, if there are any. To find their sessions costs
        seconds: of fewer than `_MOST_PLACED` they are found once, for all statements."""
        how_many = f"""
            SELECT count(*) FROM (
                SELECT FROM enriched_event event WHERE event.session_id IS NULL AND {self._chosen}
                LIMIT {_MOST_PLACED}
            ) found
        """
        many = self.connection.execute(text(how_many), self.parameters).scalar_one()
        if not many:
            return ""
        without = self._placing()
        if many == _MOST_PLACED:
            return f"UNION ALL SELECT * FROM ({without}) quiet"
        event = _EVENT_KEY.replace("event.", "quiet.")
        # As PostgreSQL writes them: it has them back with each statement, as they are.
        [arrays] = self.rows(
            f"""
            SELECT CAST(array_agg({event}) AS text), CAST(array_agg(quiet.session) AS text)
            FROM ({without}) quiet
            """
        )
        self.parameters["placed"], self.parameters["placed_in"] = arrays
        return f"""
            UNION ALL SELECT {_COLUMNS}, placed.session
            FROM enriched_event event
            JOIN unnest(CAST(:placed AS bigint[]), CAST(:placed_in AS text[]))
                AS placed (event_key, session) ON placed.event_key = {_EVENT_KEY}
            WHERE event.session_id IS NULL AND {self._chosen}
        """

    def _placing(self) -> str:
        """SQL: the events without a session id, with the session of each."""
        quiet = f"""
            SELECT DISTINCT event.project, event.distinct_id FROM enriched_event event
            WHERE event.session_id IS NULL AND {self._chosen}
        """
        first = "start" if self.about.before is None else "before"
        joined = joined_sql(
            all_ids_sql(quiet),
            f"CAST(:{first} AS timestamptz) - {REACH}",
            f"CAST(:end AS timestamptz) + {REACH}",
        )
        return _WITHOUT_SESSION.format(
            joined=joined,
            longest=f"{LONGEST.total_seconds():.0f}s",
            silence=f"{SILENCE.total_seconds():.0f}s",
            pseudonym=pseudonym_sql("one"),
            join=person_join("one"),
            chosen=self._chosen,
        )
