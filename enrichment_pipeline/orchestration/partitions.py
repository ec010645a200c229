"""Windows as Dagster's partitions: one definition, and the way from a key to a window and back."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

KEY_FORMAT = "%Y-%m-%d-%H:%M"

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
"""Dagster's tags of a run over a range of partitions: their keys, the last one included."""


def window_partitions(start: datetime, window: timedelta) -> dg.TimeWindowPartitionsDefinition:
    """The windows from `start` up to the one that is open now."""
    minutes = int(window.total_seconds() // 60)
    return dg.TimeWindowPartitionsDefinition(
        start=start,
        cron_schedule="0 * * * *" if minutes == 60 else f"*/{minutes} * * * *",
        fmt=KEY_FORMAT,
        timezone="UTC",
        # Without it a window would be no partition until it is over.
        end_offset=1,
    )


def partition_key(window: datetime) -> str:
    """The key of the partition of a window."""
    return window.astimezone(UTC).strftime(KEY_FORMAT)


def range_tags(windows: Sequence[datetime]) -> dict[str, str]:
    """The tags of a run over these neighbouring windows, the first one first."""
    return {RANGE_START: partition_key(windows[0]), RANGE_END: partition_key(windows[-1])}


def windows_of(keys: Iterable[str]) -> list[datetime]:
    """The windows of these partition keys."""
    return [datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC) for key in keys]
