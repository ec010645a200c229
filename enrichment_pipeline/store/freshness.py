"""How fresh the store is: its newest event, its newest windows.

What the books of a window are belongs to `books`, up to when sessions are built to `changes`.
"""

from datetime import datetime

from sqlalchemy import Connection, text


def newest_moment(connection: Connection) -> datetime | None:
    """When the newest enriched event happened; None where there is none."""
    moment: datetime | None = connection.execute(
        text("SELECT max(occurred_at) FROM enriched_event")
    ).scalar_one()
    return moment


def newest_enriched_window(connection: Connection) -> datetime | None:
    """The newest of the windows in which something is enriched; None where nothing is."""
    moment = newest_moment(connection)
    if moment is None:
        return None
    row = connection.execute(
        text(
            """
            SELECT max(window_start) FROM raw_batch
            WHERE window_start > CAST(:moment AS timestamptz) - interval '1 hour'
                AND window_start <= :moment
            """
        ),
        {"moment": moment},
    )
    window: datetime | None = row.scalar_one()
    return window


def newest_windows(connection: Connection, most: int) -> list[datetime]:
    """The newest windows that events have come for, the newest first."""
    # From one to the next by the index: a window can have any number of batches.
    rows = connection.execute(
        text(
            """
            WITH RECURSIVE newest (window_start, place) AS (
                SELECT max(window_start), 1 FROM raw_batch
                UNION ALL
                SELECT (
                    SELECT max(batch.window_start) FROM raw_batch batch
                    WHERE batch.window_start < newest.window_start
                ), place + 1
                FROM newest WHERE window_start IS NOT NULL AND place < :most
            )
            SELECT window_start FROM newest WHERE window_start IS NOT NULL
            ORDER BY window_start DESC
            """
        ),
        {"most": most},
    )
    return list(rows.scalars())
