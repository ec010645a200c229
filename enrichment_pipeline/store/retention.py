"""Forgetting by age: dropping the days that are over, and making the partitions of those to come.

It refuses to drop a day on which anything is still pending or lies open among the dead letters.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, text

from enrichment_pipeline.store.partitions import (
    drop_partition,
    ensure_partitions,
    partition_days,
)
from enrichment_pipeline.store.tables import PARTITIONED, raw_event
from enrichment_pipeline.store.windows import move_partition_start, partition_start

DAYS_AHEAD = 3
"""Partitions are made this long before their day begins."""


@dataclass
class RetentionReport:
    """What retention did."""

    dropped: list[date] = field(default_factory=list)
    refused: dict[date, str] = field(default_factory=dict)
    """Days that are old enough, and why they were kept."""


def make_partitions_ahead(connection: Connection, today: date) -> None:
    """Make the partitions of today and the next days."""
    ensure_partitions(
        connection, [today + timedelta(days=ahead) for ahead in range(DAYS_AHEAD + 1)]
    )


def drop_days_before(connection: Connection, first_kept: date) -> RetentionReport:
    """Drop every day before `first_kept` on which nothing is left to do.

    The raw and enriched events of a day go, with its batches, its keys and its closed letters: an
    event that arrives again after that is a new event. The windows start where nothing older is
    left.
    """
    report = RetentionReport()
    for day in _days_before(connection, first_kept):
        reason = _reason_to_keep(connection, day)
        if reason:
            report.refused[day] = reason
        else:
            _drop_day(connection, day)
            report.dropped.append(day)
    oldest_left = min([first_kept, *report.refused])
    start = datetime(oldest_left.year, oldest_left.month, oldest_left.day, tzinfo=UTC)
    if start > partition_start(connection):
        move_partition_start(connection, start)
    return report


def _days_before(connection: Connection, first_kept: date) -> list[date]:
    # A day whose events were all rejected has batches and letters, and no partition.
    with_batches = connection.execute(
        text("SELECT DISTINCT CAST(window_start AT TIME ZONE 'UTC' AS date) FROM raw_batch")
    ).scalars()
    days = {*partition_days(connection, raw_event.name), *with_batches}
    return sorted(day for day in days if day < first_kept)


def _bounds(day: date) -> dict[str, datetime]:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return {"start": start, "end": start + timedelta(days=1)}


def _reason_to_keep(connection: Connection, day: date) -> str | None:
    pending, letters = connection.execute(
        text(
            """
            SELECT
                (SELECT coalesce(sum(event_count - dead_count), 0) FROM raw_batch
                    WHERE state = 'pending' AND window_start >= :start AND window_start < :end),
                (SELECT count(*) FROM dead_letter
                    WHERE state IN ('open', 'replaying', 'parked')
                        AND window_start >= :start AND window_start < :end)
            """
        ),
        _bounds(day),
    ).one()
    if pending:
        return f"{pending:,} events are pending"
    return f"{letters:,} dead letters are open" if letters else None


def _drop_day(connection: Connection, day: date) -> None:
    bounds = _bounds(day)
    in_day = "window_start >= :start AND window_start < :end"
    connection.execute(
        text(f"DELETE FROM event_key USING raw_batch WHERE batch_id = id AND {in_day}"), bounds
    )
    connection.execute(text(f"DELETE FROM dead_letter WHERE {in_day}"), bounds)
    connection.execute(text(f"DELETE FROM raw_batch WHERE {in_day}"), bounds)
    for table in PARTITIONED:
        drop_partition(connection, table, day)
