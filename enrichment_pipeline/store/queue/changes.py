"""The change feed: what has changed, for consumers that show it or build something from it.

Each transaction that changes enriched events or dead letters appends to `enriched_change`: triggers
do it when the books change, `append_changes` when only the contents of rows change. A consumer
removes a change in the transaction of its work: unfinished changes stay in the feed. All times are
by the server's clock.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import Connection, DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

_windows = bindparam("windows", type_=ARRAY(DateTime(timezone=True)))


class Consumer(StrEnum):
    """The consumers of changes."""

    WINDOWS = "windows"
    """What Dagster shows of each window."""
    DEAD_LETTERS = "dead_letters"
    """What Dagster shows of the dead letters."""
    SESSIONS = "sessions"
    """The table `session_timeline`."""


def append_changes(connection: Connection, windows: Sequence[datetime]) -> None:
    """Append changes of these windows whose enriched events changed but not their books."""
    connection.execute(
        text(
            """
            INSERT INTO enriched_change (consumer, window_start)
            SELECT consumer, window_start
            FROM (SELECT DISTINCT unnest(:windows) AS window_start) changed
            CROSS JOIN unnest(ARRAY['windows', 'sessions']) AS consumer
            """
        ).bindparams(_windows),
        {"windows": list(windows)},
    )


def append_changes_at_end(
    connection: Connection, windows: Sequence[datetime], length: timedelta
) -> None:
    """Append a change of each of these windows for Dagster, as of its end."""
    connection.execute(
        text(
            """
            INSERT INTO enriched_change (consumer, window_start, changed_at)
            SELECT :consumer, window_start, window_start + CAST(:length AS interval)
            FROM unnest(:windows) AS window_start
            """
        ).bindparams(_windows),
        {"consumer": Consumer.WINDOWS, "windows": list(windows), "length": length},
    )


def remove_changes(connection: Connection, consumer: Consumer, windows: Sequence[datetime]) -> None:
    """Remove the changes of these windows: the consumer handles their state in this transaction."""
    connection.execute(
        text(
            """
            DELETE FROM enriched_change
            WHERE consumer = :consumer AND window_start = ANY(:windows)
            """
        ).bindparams(_windows),
        {"consumer": consumer, "windows": list(windows)},
    )


def changed_windows(
    connection: Connection, length: timedelta, quiet: timedelta, most: int
) -> list[datetime]:
    """The windows that have changed for Dagster, the newest first. A window that is still receiving
    events (windows are of this `length`), or has pending ones, changes every second: it is included
    once its first change is `quiet` ago."""
    rows = connection.execute(
        text(
            """
            SELECT window_start FROM (
                SELECT window_start, min(changed_at) AS since FROM enriched_change
                WHERE consumer = 'windows' GROUP BY 1
            ) changed
            WHERE since <= now() - CAST(:quiet AS interval)
                OR (window_start + CAST(:length AS interval) <= now() AND NOT EXISTS (
                    SELECT FROM raw_batch pending
                    WHERE state = 'pending' AND historical IN (false, true)
                        AND pending.window_start = changed.window_start
                ))
            ORDER BY window_start DESC LIMIT :most
            """
        ),
        {"length": length, "quiet": quiet, "most": most},
    )
    return list(rows.scalars())


def take_letter_changes(connection: Connection) -> bool:
    """Remove the changes of dead letters; returns whether there were any."""
    removed = connection.execute(
        text(
            """
            DELETE FROM enriched_change WHERE id IN (
                SELECT id FROM enriched_change WHERE consumer = 'dead_letters'
                FOR UPDATE SKIP LOCKED
            )
            """
        )
    )
    return removed.rowcount > 0


class ChangedDay(NamedTuple):
    """A day whose sessions are out of date."""

    day: date
    """In UTC."""
    since: datetime
    """The time of its first change that is in no session."""
    waited: timedelta
    """The age of that change."""


def changed_days(connection: Connection) -> list[ChangedDay]:
    """The days whose sessions are out of date, the newest first."""
    rows = connection.execute(
        text(
            """
            SELECT (window_start AT TIME ZONE 'UTC')::date, min(changed_at), now() - min(changed_at)
            FROM enriched_change WHERE consumer = 'sessions' GROUP BY 1 ORDER BY 1 DESC
            """
        )
    )
    return [ChangedDay(*row) for row in rows]


class DayChanges(NamedTuple):
    """The changes of a day since its sessions were built."""

    batch_ids: list[int]
    is_whole: bool
    """Whether the changed batches are unknown."""


def take_day(connection: Connection, day: date) -> DayChanges:
    """Remove the changes of a day's sessions, waiting for another process that builds them now."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    row = connection.execute(
        text(
            """
            WITH gone AS (
                DELETE FROM enriched_change
                WHERE consumer = 'sessions' AND window_start >= :start AND window_start < :end
                RETURNING batch_ids
            ),
            batch AS (SELECT DISTINCT unnest(batch_ids) AS id FROM gone)
            SELECT coalesce(array_agg(batch.id) FILTER (WHERE batch.id IS NOT NULL), '{}'),
                -- A batch that retention has dropped no longer says which events were its own.
                EXISTS (SELECT FROM gone WHERE batch_ids IS NULL)
                OR count(batch.id) > count(raw_batch.id)
            FROM batch LEFT JOIN raw_batch USING (id)
            """
        ),
        {"start": start, "end": start + timedelta(days=1)},
    ).one()
    return DayChanges(*row)


def sessions_watermark(connection: Connection) -> datetime:
    """The time up to which enriched events are in the table of sessions."""
    moment: datetime = connection.execute(
        text(
            """
            SELECT coalesce(min(changed_at), now()) FROM enriched_change
            WHERE consumer = 'sessions'
            """
        )
    ).scalar_one()
    return moment


_BUCKETS = 256
"""The number of locks that all windows share: a run over ten thousand windows takes no more."""


def lock_windows(
    connection: Connection, windows: Sequence[datetime], *, wait: bool
) -> list[datetime]:
    """Lock these windows against publishing by others until this transaction ends: otherwise an
    older state could be published last. Returns the locked windows: all of them after waiting, or
    only those that are free."""
    function = "pg_advisory_xact_lock" if wait else "pg_try_advisory_xact_lock"
    rows = connection.execute(
        text(
            f"""
            WITH wanted AS MATERIALIZED (
                SELECT window_start,
                    (extract(epoch FROM window_start)::bigint / 900 % :buckets)::int AS bucket
                FROM unnest(:windows) AS window_start ORDER BY 2
            )
            SELECT window_start,
                {function}(hashtext('publish window'), bucket)::text <> 'false' AS is_mine
            FROM wanted
            """
        ).bindparams(_windows),
        {"windows": list(windows), "buckets": _BUCKETS},
    )
    return sorted(row.window_start for row in rows if row.is_mine)


def append_all_changes(connection: Connection, built_since: datetime) -> None:
    """Append a change of every window, of the dead letters, and of each day whose sessions were
    built since that moment: Dagster's database is restored to it, the store to a later one."""
    connection.execute(
        text(
            """
            INSERT INTO enriched_change (consumer, window_start)
            SELECT DISTINCT 'windows', window_start FROM raw_batch
            UNION ALL
            SELECT 'dead_letters', now()
            UNION ALL
            SELECT DISTINCT 'sessions', day::timestamp AT TIME ZONE 'UTC'
            FROM session_timeline WHERE built_at >= :built_since
            """
        ),
        {"built_since": built_since},
    )


def drop_changes(connection: Connection, start: datetime, end: datetime) -> None:
    """Remove the changes that Dagster would show of windows that are dropped: it would make
    partitions for them again."""
    connection.execute(
        text(
            """
            DELETE FROM enriched_change
            WHERE consumer = 'windows' AND window_start >= :start AND window_start < :end
            """
        ),
        {"start": start, "end": end},
    )
