"""The dead letters: what is broken now, counted and sampled.

How something became a dead letter belongs to `load` and `claims`.
"""

from datetime import datetime
from typing import NamedTuple

import pandas as pd
from sqlalchemy import Connection, text

_OPEN = "state IN ('open', 'replaying', 'parked')"


class BrokenNow(NamedTuple):
    """What is broken at this moment: exact counts, and samples that are capped."""

    letters: int
    events: int
    failed_windows: int
    """Windows with a dead batch."""
    by_reason: pd.DataFrame
    """reason_code, letters, events, first_failed_at, last_failed_at, sample (a message)."""
    windows: pd.DataFrame
    """The failed windows: window_start, batches, events, since, last_error."""


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
                (array_agg(message ORDER BY id DESC))[1] AS sample
            FROM dead_letter WHERE {_OPEN}
            GROUP BY reason_code ORDER BY letters DESC LIMIT :most
            """
        ),
        {"most": most},
    )
    windows = connection.execute(
        text(
            f"""
            SELECT window_start, count(*) AS batches, sum(event_count) AS events,
                min(first_failed_at) AS since,
                (array_agg(message ORDER BY id DESC))[1] AS last_error
            FROM dead_letter WHERE {_OPEN} AND kind = 'batch'
            GROUP BY window_start ORDER BY window_start DESC LIMIT :most
            """
        ),
        {"most": most},
    )
    return BrokenNow(
        letters=int(totals[0]),
        events=int(totals[1]),
        failed_windows=int(totals[2]),
        by_reason=pd.DataFrame(by_reason.all(), columns=list(by_reason.keys())),
        windows=pd.DataFrame(windows.all(), columns=list(windows.keys())),
    )


def dead_windows(connection: Connection, windows: list[datetime]) -> dict[datetime, str]:
    """Of these windows, those that hold a dead batch, with the last error of each."""
    rows = connection.execute(
        text(
            """
            SELECT DISTINCT ON (window_start) window_start, coalesce(last_error, 'unknown')
            FROM raw_batch
            WHERE state = 'dead' AND window_start = ANY(CAST(:windows AS timestamptz[]))
            ORDER BY window_start, id DESC
            """
        ),
        {"windows": windows},
    )
    return {row[0]: row[1] for row in rows}
