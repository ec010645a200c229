"""Retention: dropping days past their age, and creating the partitions of coming days.

Raw events, enriched events and closed dead letters each have their own maximum age, by the time of
their window. Pending events and open dead letters are never dropped.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import driver_error, retry_conflicts
from enrichment_pipeline.store.database.partitions import (
    drop_partition,
    ensure_partitions,
    lock_for_dropping,
    partition_days,
)
from enrichment_pipeline.store.database.tables import enriched_event, raw_event
from enrichment_pipeline.store.ingest.people import forget_who_left, people_of_day_alone
from enrichment_pipeline.store.queue.changes import drop_changes
from enrichment_pipeline.store.queue.unused_inputs import forget_unused_inputs
from enrichment_pipeline.store.sessions.building import forget_sessions_of_day
from enrichment_pipeline.wording import counted

DAYS_AHEAD = 3
"""Partitions are made this long before their day begins."""

# Dropping a partition locks its table exclusively, and new queries wait behind that lock: the day
# is kept until next time rather than holding up the API.
_LOCK_SECONDS = 3

_IN_DAY = "window_start >= :start AND window_start < :end"
_CLOSED = "state IN ('resolved', 'discarded')"


class FirstKept(NamedTuple):
    """The first day that is kept, for each kind."""

    raw: date
    enriched: date
    dead: date | None = None
    """For closed letters; None if they are dropped with their raw events."""


def first_days_kept(settings: Settings, today: date) -> FirstKept | None:
    """The first days kept under these settings; None if they keep everything."""
    raw, enriched, dead = (
        today - timedelta(days=days) if days is not None else None
        for days in (
            settings.retention_days,
            settings.retention_days_enriched,
            settings.retention_days_dead,
        )
    )
    if raw is None and dead is None:
        return None
    # If there is no maximum age: never.
    raw = raw or date.min
    return FirstKept(raw, enriched or raw, dead)


@dataclass
class RetentionReport:
    """The result of retention."""

    dropped: list[date] = field(default_factory=list)
    """Days whose raw events were dropped."""
    dropped_enriched: list[date] = field(default_factory=list)
    letters: int = 0
    """Closed letters that were dropped before the raw events of their window."""
    refused: dict[date, str] = field(default_factory=dict)
    """Days that are old enough, and why they were kept."""


class _KeptError(Exception):
    """A day cannot be dropped; the message says why."""


def make_partitions_ahead(connection: Connection, today: date) -> None:
    """Create the partitions of today and the next days."""
    ensure_partitions(
        connection, [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    )


def drop_days_before(store: Store, first_kept: FirstKept) -> RetentionReport:
    """Drop older data, each day in a transaction of its own.

    The raw events of a day are dropped with its batches, its keys and its closed letters: an event
    that arrives again after that is a new event. The books begin with the oldest day left. At the
    end, action inputs without a raw event are removed.
    """
    report = RetentionReport()
    with store.transaction() as connection:
        raw_days = _raw_days(connection, first_kept.raw)
    for day in raw_days:
        if _drop(store, day, report, _drop_raw(first_kept)):
            report.dropped.append(day)
    with store.transaction() as connection:
        enriched_days = partition_days(connection, enriched_event.name)
    for day in enriched_days:
        # If the raw events had to be kept, the enriched ones are kept too.
        old = day < first_kept.enriched and day not in report.refused
        if old and _drop(store, day, report, _drop_enriched_alone):
            report.dropped_enriched.append(day)
    if first_kept.dead is not None:
        report.letters = _drop_letters(store, first_kept.dead)
    if report.dropped:
        forget_unused_inputs(store)
    return report


def _raw_days(connection: Connection, before: date) -> list[date]:
    if before == date.min:
        return []
    # A day whose events were all rejected has batches and letters, and no partition.
    with_batches = connection.execute(
        text(
            """
            SELECT DISTINCT CAST(window_start AT TIME ZONE 'UTC' AS date) FROM raw_batch
            WHERE window_start < :before
            """
        ),
        {"before": _bounds(before)["start"]},
    ).scalars()
    days = {*partition_days(connection, raw_event.name), *with_batches}
    return sorted(day for day in days if day < before)


def _bounds(day: date) -> dict[str, datetime]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"start": start, "end": start + timedelta(days=1)}


_Drop = Callable[[Connection, date], None]


def _drop(store: Store, day: date, report: RetentionReport, drop: _Drop) -> bool:
    """Drop data of a day in one transaction; if that is impossible, the report says why."""
    try:
        _transact(store, day, drop)
    except _KeptError as reason:
        report.refused[day] = str(reason)
    except DBAPIError as error:
        if not isinstance(driver_error(error), psycopg.errors.LockNotAvailable):
            raise
        report.refused[day] = "its tables are in use (by a backup, or a long query)"
    else:
        return True
    return False


@retry_conflicts
def _transact(store: Store, day: date, drop: _Drop) -> None:
    with store.transaction() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
        drop(connection, day)


def _drop_raw(first_kept: FirstKept) -> _Drop:
    """Drops the raw events of a day and what depends on them."""

    def drop(connection: Connection, day: date) -> None:
        bounds = _bounds(day)
        _refuse_what_is_left_to_do(connection, day)
        connection.execute(
            text(f"DELETE FROM event_key USING raw_batch WHERE batch_id = id AND {_IN_DAY}"), bounds
        )
        if first_kept.dead is None or day < first_kept.dead:
            connection.execute(text(f"DELETE FROM dead_letter WHERE {_IN_DAY}"), bounds)
        connection.execute(text(f"DELETE FROM raw_batch WHERE {_IN_DAY}"), bounds)
        leaving = people_of_day_alone(connection, **bounds)
        lock_for_dropping(connection)
        # All other transactions on the day have committed by now, and their rows are visible.
        _refuse_what_is_left_to_do(connection, day)
        drop_partition(connection, raw_event.name, day)
        drop_changes(connection, **bounds)
        if day < first_kept.enriched:
            _drop_enriched_of(connection, day)
        forget_who_left(connection, leaving)

    return drop


def _drop_enriched_alone(connection: Connection, day: date) -> None:
    """Drop the enriched events of a day whose raw events were dropped before; not those of raw
    events that have arrived for it since."""
    lock_for_dropping(connection)
    arrived = text(f"SELECT EXISTS (SELECT FROM raw_batch WHERE {_IN_DAY})")
    if connection.execute(arrived, _bounds(day)).scalar_one():
        raise _KeptError("events of it have come in meanwhile")
    _drop_enriched(connection, day)


def _drop_enriched(connection: Connection, day: date) -> None:
    leaving = people_of_day_alone(connection, **_bounds(day))
    lock_for_dropping(connection)
    _drop_enriched_of(connection, day)
    forget_who_left(connection, leaving)


def _drop_enriched_of(connection: Connection, day: date) -> None:
    drop_partition(connection, enriched_event.name, day)
    forget_sessions_of_day(connection, day)


def _refuse_what_is_left_to_do(connection: Connection, day: date) -> None:
    pending, letters = connection.execute(
        text(
            f"""
            SELECT
                (SELECT coalesce(sum(event_count - dead_count), 0) FROM raw_batch
                    WHERE state = 'pending' AND {_IN_DAY}),
                (SELECT count(*) FROM dead_letter WHERE NOT {_CLOSED} AND {_IN_DAY})
            """
        ),
        _bounds(day),
    ).one()
    if pending:
        raise _KeptError(counted(pending, "event is pending", "events are pending"))
    if letters:
        raise _KeptError(counted(letters, "dead letter is open", "dead letters are open"))


@retry_conflicts
def _drop_letters(store: Store, first_kept: date) -> int:
    """Drop the closed letters of older windows, and subtract them from the counts of their batches;
    returns how many there were.

    A discarded letter of events that are in raw_event stays as long as they do: it says why they
    are not enriched.
    """
    with store.transaction() as connection:
        return connection.execute(
            text(
                f"""
                WITH closed AS (
                    SELECT letter.id, letter.batch_id, letter.event_count, letter.state
                    FROM dead_letter letter
                    WHERE {_CLOSED} AND window_start < :start AND (
                        state = 'resolved' OR (kind = 'event' AND uuid IS NULL)
                        OR NOT EXISTS (SELECT FROM raw_batch WHERE id = letter.batch_id)
                    )
                    FOR UPDATE
                ),
                counted AS (
                    UPDATE raw_batch
                    SET event_count = raw_batch.event_count - discarded.events,
                        dead_count = dead_count - discarded.events
                    FROM (
                        SELECT batch_id, sum(event_count) AS events FROM closed
                        WHERE state = 'discarded' GROUP BY batch_id
                    ) discarded
                    WHERE raw_batch.id = discarded.batch_id
                )
                DELETE FROM dead_letter USING closed WHERE dead_letter.id = closed.id
                """
            ),
            {"start": _bounds(first_kept)["start"]},
        ).rowcount
