"""What Dagster was told of each window, and what it was not: windows that workers have finished.

How it is told belongs to `orchestration`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, DateTime, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from enrichment_pipeline.store.books import WindowBooks, books

_TELL = text(
    """
    INSERT INTO told_window (window_start, enriched, dead)
    VALUES (:window_start, :enriched, :dead)
    ON CONFLICT (window_start) DO UPDATE
    SET enriched = excluded.enriched, dead = excluded.dead, told_at = now()
    """
)


def tell_windows(connection: Connection, told: Sequence[WindowBooks]) -> None:
    """Dagster has been told of these windows, as their books say."""
    rows = [
        {"window_start": window.window_start, "enriched": window.enriched, "dead": window.dead}
        for window in sorted(told)
    ]
    if rows:
        connection.execute(_TELL, rows)


def finished_since(connection: Connection, since: datetime, overlap: timedelta) -> list[datetime]:
    """The windows in which a batch was finished since then, and since they were told last.

    A batch is finished when its transaction began, and seen when that was committed: `overlap` is
    how long that may take.
    """
    rows = connection.execute(
        text(
            """
            SELECT window_start FROM raw_batch LEFT JOIN told_window USING (window_start)
            WHERE finished_at >= CAST(:since AS timestamptz) - CAST(:overlap AS interval)
            GROUP BY window_start, told_at
            HAVING max(finished_at) > coalesce(told_at - CAST(:overlap AS interval), '-infinity')
            ORDER BY 1
            """
        ),
        {"since": since, "overlap": overlap},
    )
    return list(rows.scalars())


def untold(connection: Connection, windows: Sequence[datetime]) -> list[WindowBooks]:
    """Those of these windows in which more or less is enriched or dead than Dagster was told."""
    rows = connection.execute(
        text(
            """
            SELECT window_start, enriched, dead FROM told_window
            WHERE window_start = ANY(:windows)
            """
        ).bindparams(bindparam("windows", type_=ARRAY(DateTime(timezone=True)))),
        {"windows": list(windows)},
    )
    told = {row.window_start: (row.enriched, row.dead) for row in rows}
    return [
        window
        for window in books(connection, windows)
        if told.get(window.window_start) != (window.enriched, window.dead)
    ]
