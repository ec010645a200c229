"""The summary of dead letters: what is broken now, counted and sampled.

What makes a dead letter belongs to `load` and `claims`.
"""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Connection, text

from enrichment_pipeline.store.reading.frames import frame

if TYPE_CHECKING:
    import pandas as pd

_OPEN = "state IN ('open', 'replaying', 'parked')"


class BrokenNow(NamedTuple):
    """What is broken now: exact counts, and samples of limited size."""

    letters: int
    events: int
    failed_windows: int
    """Windows with a dead batch."""
    by_reason: "pd.DataFrame"
    """reason_code, letters, events, first_failed_at, last_failed_at, letter (the id of the
    newest)."""
    windows: "pd.DataFrame"
    """The failed windows: window_start, batches, events, since, letter, worker."""


def broken_now(connection: Connection, most: int = 50) -> BrokenNow:
    """What is broken now, with at most `most` rows in each table."""
    totals = connection.execute(
        text(
            f"""
            SELECT count(*), coalesce(sum(event_count), 0),
                count(DISTINCT window_start) FILTER (WHERE kind = 'batch')
            FROM dead_letter WHERE {_OPEN}
            """
        )
    ).one()
    by_reason = connection.execute(
        text(
            f"""
            SELECT reason_code, count(*) AS letters, sum(event_count) AS events,
                min(first_failed_at) AS first_failed_at, max(last_failed_at) AS last_failed_at,
                max(id) AS letter
            FROM dead_letter WHERE {_OPEN}
            GROUP BY reason_code ORDER BY letters DESC LIMIT :most
            """
        ),
        {"most": most},
    )
    windows = connection.execute(
        text(
            f"""
            SELECT shown.*, newest.worker
            FROM (
                SELECT window_start, count(*) AS batches, sum(event_count) AS events,
                    min(first_failed_at) AS since, max(id) AS letter
                FROM dead_letter WHERE {_OPEN} AND kind = 'batch'
                GROUP BY window_start ORDER BY window_start DESC LIMIT :most
            ) shown JOIN dead_letter newest ON newest.id = shown.letter
            ORDER BY window_start DESC
            """
        ),
        {"most": most},
    )
    return BrokenNow(
        letters=int(totals[0]),
        events=int(totals[1]),
        failed_windows=int(totals[2]),
        by_reason=frame(by_reason.all(), columns=list(by_reason.keys())),
        windows=frame(windows.all(), columns=list(windows.keys())),
    )


def dead_windows(connection: Connection, windows: list[datetime]) -> dict[datetime, int]:
    """Those of these windows with a dead batch that is not discarded, and the newest letter of
    each."""
    rows = connection.execute(
        text(
            f"""
            SELECT window_start, max(id) AS letter
            FROM dead_letter
            WHERE {_OPEN} AND kind = 'batch'
                AND window_start = ANY(CAST(:windows AS timestamptz[]))
            GROUP BY window_start
            """
        ),
        {"windows": windows},
    )
    return {row.window_start: row.letter for row in rows}


def failed_windows(
    connection: Connection, since: datetime | None = None, until: datetime | None = None
) -> dict[datetime, int]:
    """The windows that hold a dead batch, and how many events these have; from `since` up to, not
    including, `until`."""
    rows = connection.execute(
        text(
            f"""
            SELECT window_start, sum(event_count) FROM dead_letter
            WHERE {_OPEN} AND kind = 'batch'
                AND window_start >= coalesce(CAST(:since AS timestamptz), '-infinity')
                AND window_start < coalesce(CAST(:until AS timestamptz), 'infinity')
            GROUP BY window_start ORDER BY window_start
            """
        ),
        {"since": since, "until": until},
    )
    return {row[0]: int(row[1]) for row in rows}


def open_events(connection: Connection, windows: list[datetime]) -> int:
    """How many events of these windows are open dead letters of single events."""
    return int(
        connection.execute(
            text(
                f"""
                SELECT count(*) FROM dead_letter
                WHERE {_OPEN} AND kind = 'event'
                    AND window_start = ANY(CAST(:windows AS timestamptz[]))
                """
            ),
            {"windows": windows},
        ).scalar_one()
    )
