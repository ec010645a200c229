"""The maximum number of windows. PostgreSQL's own partitions, one for each day that has events,
belong to `partitions`; Dagster's to `orchestration`."""

from datetime import datetime, timedelta

MAX_WINDOWS = 100_000
"""Dagster's recommended limit of partitions for an asset (docs.dagster.io, partitioning assets)."""


def oldest_possible_start(now: datetime, window: timedelta) -> datetime:
    """The earliest start of a window that keeps their number within the limit."""
    return now - MAX_WINDOWS * window
