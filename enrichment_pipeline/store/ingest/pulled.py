"""The state of the pull: the files it has read, and its position in each window of the query API.

What is read, and in which order, belongs to `ingest.pull`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, text

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.transactions import wait_long

# Any number will do, if nothing else on the server locks by two numbers with this as the first.
_CLAIMS = 7_263_410


@contextmanager
def claimed(store: Store, name: str) -> Iterator[bool]:
    """Claim `name` until the end of the block; yields whether the claim succeeded.

    The claim is held by a transaction that does nothing else, and ends with the process.
    """
    with store.transaction() as connection:
        wait_long(connection)
        yield connection.execute(
            text("SELECT pg_try_advisory_xact_lock(:claims, hashtext(:name))"),
            {"claims": _CLAIMS, "name": name},
        ).scalar_one()


class PulledFile(NamedTuple):
    """A file that was read to its end."""

    url: str
    version: str
    accepted: int
    duplicates: int
    quarantined: int


def pulled_versions(connection: Connection, urls: Sequence[str]) -> dict[str, str]:
    """The version in which each of these files was read; files that were not read are missing."""
    rows = connection.execute(
        text("SELECT url, version FROM pulled_file WHERE url = ANY(:urls)"), {"urls": list(urls)}
    )
    return {row.url: row.version for row in rows}


def remember_file(connection: Connection, file: PulledFile) -> None:
    """Record that the file was read, in this version."""
    connection.execute(
        text(
            """
            INSERT INTO pulled_file (url, version, pulled_at, accepted, duplicates, quarantined)
            VALUES (:url, :version, now(), :accepted, :duplicates, :quarantined)
            ON CONFLICT (url) DO UPDATE SET
                version = excluded.version,
                pulled_at = excluded.pulled_at,
                accepted = excluded.accepted,
                duplicates = excluded.duplicates,
                quarantined = excluded.quarantined
            """
        ),
        file._asdict(),
    )


class Position(NamedTuple):
    """An event in the order of the pages."""

    timestamp: datetime
    uuid: str


class WindowPosition(NamedTuple):
    """How far a window has been read."""

    began_at: datetime
    """When it was last read from its start: all events that PostHog had by then are read."""
    after: Position | None
    """The last of its events that is in the store."""
    finished_at: datetime | None
    """When the window, after its end, had been read completely; None if more is to come."""
    events_read: int = 0
    """How many events were read since `began_at`."""
    events_counted: int | None = None
    """PostHog's count when the window was complete; None before."""


def window_position(
    connection: Connection, source: str, window_start: datetime
) -> WindowPosition | None:
    """How far this window of the source has been read; None if it was never begun."""
    row = connection.execute(
        text(
            """
            SELECT began_at, after_timestamp, after_uuid, finished_at, events_read, events_counted
            FROM pull_position
            WHERE source = :source AND window_start = :start
            """
        ),
        {"source": source, "start": window_start},
    ).one_or_none()
    if row is None:
        return None
    after = Position(row.after_timestamp, row.after_uuid) if row.after_timestamp else None
    return WindowPosition(row.began_at, after, row.finished_at, row.events_read, row.events_counted)


def keep_position(
    connection: Connection, source: str, window_start: datetime, position: WindowPosition
) -> None:
    """Record how far this window of the source has been read."""
    after = position.after
    connection.execute(
        text(
            """
            INSERT INTO pull_position
                (source, window_start, began_at, after_timestamp, after_uuid, finished_at,
                events_read, events_counted)
            VALUES (:source, :start, :began_at, :timestamp, :uuid, :finished_at, :read, :counted)
            ON CONFLICT (source, window_start) DO UPDATE SET
                began_at = excluded.began_at,
                after_timestamp = excluded.after_timestamp,
                after_uuid = excluded.after_uuid,
                finished_at = excluded.finished_at,
                events_read = excluded.events_read,
                events_counted = excluded.events_counted
            """
        ),
        {
            "source": source,
            "start": window_start,
            "began_at": position.began_at,
            "timestamp": after.timestamp if after else None,
            "uuid": after.uuid if after else None,
            "finished_at": position.finished_at,
            "read": position.events_read,
            "counted": position.events_counted,
        },
    )


class PullDifference(NamedTuple):
    """A window for which PostHog's count of events differs from the number that was read."""

    window_start: datetime
    read: int
    counted: int
    since: datetime


def pull_differences(connection: Connection) -> list[PullDifference]:
    """The complete windows whose counts differ, in order."""
    rows = connection.execute(
        text(
            """
            SELECT window_start, events_read, events_counted, finished_at FROM pull_position
            WHERE events_counted <> events_read AND finished_at IS NOT NULL ORDER BY window_start
            """
        )
    )
    return [PullDifference(*row) for row in rows]


def first_unsettled(
    connection: Connection, source: str, complete_after: timedelta, since: datetime
) -> datetime | None:
    """The first window from `since` on that is begun and not complete, or the last complete one,
    whichever comes first; None if there is neither.

    A window is complete if it was read to its end, starting at least `complete_after` after the
    window's own start, so that late events are included.
    """
    first: datetime | None = connection.execute(
        text(
            """
            SELECT least(
                max(window_start) FILTER (WHERE is_complete),
                min(window_start) FILTER (WHERE NOT is_complete AND window_start >= :since)
            )
            FROM (
                SELECT
                    window_start,
                    finished_at IS NOT NULL AND began_at >= window_start + :complete_after
                        AS is_complete
                FROM pull_position
                WHERE source = :source
            ) AS position
            """
        ),
        {"source": source, "complete_after": complete_after, "since": since},
    ).scalar_one()
    return first
