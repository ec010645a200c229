"""Reading enriched events and session timelines a day at a time, streamed, for an export.

Writing files belongs to `llm.exporting`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, text

from enrichment_pipeline.store.ingest.people import person_join, pseudonym_key, pseudonym_sql

What = Literal["events", "timelines"]

_ROWS_AT_ONCE = 20_000

_EVENTS = (
    *("project", "uuid", "occurred_at", "event", "event_type", "action_type", "person"),
    *("session_id", "path_template", "element_tag", "description", "device", "rules_version"),
    "enriched_at",
)
_PRIVATE = ("distinct_id", "path", "title", "element_label", "properties")
_TIMELINES = (
    *("project", "session_id", "person", "started_at", "ended_at", "events", "pages", "entry"),
    *("exit", "device", "outline", "signals", "timeline", "built_at"),
)
_PRIVATE_OF_TIMELINES = ("distinct_id",)

# Columns that are computed by an expression.
_MADE = {
    "person": pseudonym_sql("kept"),
    "uuid": "kept.uuid::text",
    "properties": "kept.properties::text",
    "signals": "array_to_string(kept.signals, ',')",
}


def columns_of(what: What, *, with_private: bool) -> Sequence[str]:
    """The columns of an export, in their order."""
    if what == "events":
        return (*_EVENTS, *(_PRIVATE if with_private else ()))
    return (*_TIMELINES, *(_PRIVATE_OF_TIMELINES if with_private else ()))


def days_to_export(
    connection: Connection, what: What, first: date | None, last: date | None
) -> dict[date, int]:
    """The days (UTC) that have rows, and how many rows each has."""
    bounds = {"first": first, "end": last and last + timedelta(days=1)}
    given = {name: day for name, day in bounds.items() if day}
    table, day, moment = "session_timeline", "day", "CAST(:{} AS date)"
    bounded = day
    if what == "events":
        # The bounds compare the time itself, so that the partitions of all other days are left out.
        table, day = "enriched_event", "(occurred_at AT TIME ZONE 'UTC')::date"
        bounded, moment = "occurred_at", "CAST(:{} AS timestamp) AT TIME ZONE 'UTC'"
    conditions = [
        f"{bounded} {'>=' if name == 'first' else '<'} {moment.format(name)}" for name in given
    ]
    rows = connection.execute(
        text(
            f"""
            SELECT {day}, count(*) FROM {table} WHERE {" AND ".join(["true", *conditions])}
            GROUP BY 1 ORDER BY 1
            """
        ),
        given,
    )
    return {row[0]: row[1] for row in rows}


def rows_of_day(
    connection: Connection, what: What, day: date, project: str | None, *, with_private: bool
) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of a day in the order of time, in chunks of some thousands; never all at once."""
    columns = ", ".join(
        f"{_MADE.get(name, f'kept.{name}')} AS {name}"
        for name in columns_of(what, with_private=with_private)
    )
    start = datetime.combine(day, time(), UTC)
    if what == "events":
        source, moment = "enriched_event", "occurred_at"
        of_day = "kept.occurred_at >= :start AND kept.occurred_at < :end"
    else:
        source, moment, of_day = "session_timeline", "started_at", "kept.day = :day"
    # Parameters that a statement does not use are allowed.
    result = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(
        text(
            f"""
            SELECT {columns} FROM {source} kept {person_join("kept")}
            WHERE {of_day} AND (CAST(:project AS text) IS NULL OR kept.project = :project)
            ORDER BY kept.{moment}
            """
        ),
        {
            **({"start": start, "end": start + timedelta(days=1)} if what == "events" else {}),
            **({"day": day} if what == "timelines" else {}),
            "project": project,
            "pseudonym_key": pseudonym_key(connection),
        },
    )
    for partition in result.partitions(_ROWS_AT_ONCE):
        yield [tuple(row) for row in partition]
