"""The list of sessions in the table of the asset `session_timelines`, and the sums of its days.

The events of sessions belong to `reading`, writing the table to `building`.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text

from enrichment_pipeline.store.ingest.people import (
    ids_of,
    person_join,
    pseudonym_key,
    pseudonym_sql,
)
from enrichment_pipeline.store.reading.handles import as_pseudonym, person_handles, session_handles
from enrichment_pipeline.store.reading.shown_names import pages_shown_as

_LONGEST_LISTED = timedelta(days=7)
_WEEK = f"interval '{_LONGEST_LISTED.days} days'"
_PSEUDONYM = re.compile(r"person_[0-9a-f]{10}")


class SessionRow(NamedTuple):
    """A session of the list."""

    project: str
    session_id: str
    person: str
    """The person's pseudonym."""
    started_at: datetime
    ended_at: datetime
    events: int
    pages: int
    entry: str | None
    exit: str | None
    device: str | None
    outline: str
    signals: Sequence[str]
    """Kinds of signals."""
    handle: str | None
    """The session's short name, `s12`; None if a version before handles has built it."""
    person_handle: str | None
    """The person's short name, `p3`."""


_LIST = """
    SELECT session.project, session.session_id, {pseudonym} AS person, session.started_at,
        session.ended_at, session.events, session.pages, session.entry, session.exit,
        session.device, session.outline, session.signals, session.distinct_id
    FROM session_timeline session {join}
    WHERE true {conditions}
    ORDER BY session.started_at DESC, session.session_id, session.project
    LIMIT :limit OFFSET :offset
"""

_DAY_TOTALS = """
    SELECT count(*), coalesce(sum(events), 0)::bigint FROM session_timeline WHERE day = :day
"""

_DAY_SIGNALS = """
    SELECT signal, count(*) FROM session_timeline, unnest(signals) signal WHERE day = :day
    GROUP BY 1 ORDER BY 2 DESC, 1
"""

# Those of the visits themselves, not of each session: that would take a search in the events for
# each session of the table. A moment has been a floating-point number when its session was built.
_ON_PAGES = """
    (session.project, session.session_id) IN (
        SELECT visit.project, visit.session_id FROM enriched_event visit
        WHERE visit.session_id IS NOT NULL AND {visit}
        UNION ALL
        SELECT listed.project, listed.session_id
        FROM enriched_event visit JOIN session_timeline listed
            ON listed.project = visit.project AND listed.distinct_id = visit.distinct_id
            AND visit.occurred_at >= listed.started_at - interval '1 second'
            AND visit.occurred_at <= listed.ended_at + interval '1 second'
        WHERE visit.session_id IS NULL AND {visit}
    )
"""
_VISITS = {
    "pages": "visit.path_template = ANY(CAST(:pages AS text[]))",
    "project": "visit.project = :project",
    # The rest of a session may lie outside of the period.
    "start": f"visit.occurred_at >= CAST(:start AS timestamptz) - {_WEEK}",
    "end": f"visit.occurred_at < CAST(:end AS timestamptz) + {_WEEK}",
}

_CONDITIONS = {
    "project": "session.project = :project",
    "start": "session.ended_at >= :start",
    "end": "session.started_at < :end",
    "signal": ":signal = ANY(session.signals)",
    "contains": "session.timeline ILIKE '%' || :contains || '%'",
    "device": "session.device ILIKE '%' || :device || '%'",
    # Compares the day too, which has an index.
    "start_day": "session.day >= :start_day",
    "end_day": "session.day <= :end_day",
}


class DayTotals(NamedTuple):
    """The figures of the sessions that began on a UTC day."""

    sessions: int
    events: int
    signals: list[tuple[str, int]]
    """How many sessions have each kind of signal; the most frequent first."""


def day_totals(connection: Connection, day: date) -> DayTotals:
    """The figures of a UTC day in the table."""
    counted = connection.execute(text(_DAY_TOTALS), {"day": day}).one()
    signals = connection.execute(text(_DAY_SIGNALS), {"day": day})
    return DayTotals(counted[0], counted[1], [(name, count) for name, count in signals])


def list_sessions(
    connection: Connection,
    *,
    project: str | None = None,
    person: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    signal: str | None = None,
    contains: str | None = None,
    page: str | None = None,
    device: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[SessionRow]:
    """The sessions that match, the newest first.

    `person` is a pseudonym or a distinct_id; `start` and `end` bound the time of its events (a
    session longer than a week is found by its first week); `signal` is a kind of signal; `contains`
    is a part of the timeline, in any case; `page` is a page as it is shown, or the beginning of one
    with a `*`; `device` is a part of the device, in any case.
    """
    given: dict[str, object] = {
        "project": project,
        "start": start,
        "end": end,
        "signal": signal,
        "contains": _escaped(contains) if contains else None,
        "device": _escaped(device) if device else None,
        "start_day": _day(start - _LONGEST_LISTED) if start else None,
        "end_day": _day(end) if end else None,
    }
    parameters = {name: value for name, value in given.items() if value is not None}
    conditions = [_CONDITIONS[name] for name in parameters]
    if page is not None:
        parameters["pages"] = _pages(connection, page)
        visit = " AND ".join(_VISITS[name] for name in parameters if name in _VISITS)
        conditions.append(_ON_PAGES.format(visit=visit))
    if person is not None:
        conditions.append(_of_person(connection, person, project, parameters))
    statement = _LIST.format(
        pseudonym=pseudonym_sql("session"),
        join=person_join("session"),
        conditions="".join(f" AND {condition}" for condition in conditions),
    )
    parameters |= {
        "limit": limit,
        "offset": offset,
        "pseudonym_key": pseudonym_key(connection),
    }
    rows = connection.execute(text(statement), parameters).all()
    sessions = session_handles(connection, [(row.project, row.session_id) for row in rows])
    people = person_handles(connection, [(row.project, row.distinct_id) for row in rows])
    return [
        SessionRow._make(
            (
                *row[:-1],
                sessions.get((row.project, row.session_id)),
                people.get((row.project, row.distinct_id)),
            )
        )
        for row in rows
    ]


def _pages(connection: Connection, page: str) -> list[str]:
    begins = page.endswith("*")
    return pages_shown_as(connection, page.removesuffix("*"), begins=begins)


def text_of_session(connection: Connection, session: SessionRow) -> str | None:
    """The timeline of a session in the table; None if it was removed meanwhile."""
    found = connection.execute(
        text("SELECT timeline FROM session_timeline WHERE project = :project AND session_id = :id"),
        {"project": session.project, "id": session.session_id},
    ).scalar_one_or_none()
    return None if found is None else str(found)


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _escaped(contains: str) -> str:
    return contains.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _of_person(
    connection: Connection, person: str, project: str | None, parameters: dict[str, object]
) -> str:
    person = as_pseudonym(connection, person)
    if _PSEUDONYM.fullmatch(person):
        parameters["person"] = person
        return f"({pseudonym_sql('session')} = :person OR {_OTHER_HAS_PSEUDONYM})"
    parameters["people"] = ids_of(connection, project, person)
    ids = "CAST(:people AS text[])"
    return f"(session.distinct_id = ANY({ids}) OR session.others && {ids})"


_OTHER_HAS_PSEUDONYM = f"""
    EXISTS (
        SELECT FROM (SELECT session.project, unnest(session.others) AS distinct_id) other
        {person_join("other")} WHERE {pseudonym_sql("other")} = :person
    )
"""
