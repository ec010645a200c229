"""Dagster's partitions: a window is a partition of `raw_events` and `enriched_events` as soon as it
has an event, a day a partition of `session_timelines`. Also converts keys to windows and back.

The partitions are dynamic, so that a window without events is none: "missing" means that something
is missing, and an event of ten years ago makes one partition, not 87,000.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TypeVar

import dagster as dg

WindowOrDay = TypeVar("WindowOrDay", bound=date)

WINDOWS = dg.DynamicPartitionsDefinition(name="windows")
DAYS = dg.DynamicPartitionsDefinition(name="session_days")

KEY_FORMAT = "%Y-%m-%d-%H:%M"

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
"""Dagster's tags of a run over a range of partitions: the first key, and the last one, included."""

_PARTITION = "dagster/partition"

_ADDED_AT_ONCE = 5_000


def add_windows(instance: dg.DagsterInstance, windows: Iterable[datetime]) -> None:
    """Add a partition for each of these windows to Dagster."""
    _add(instance, WINDOWS, [partition_key(window) for window in sorted(windows)])


def add_days(instance: dg.DagsterInstance, days: Iterable[date]) -> None:
    """Add a partition for each of these days to Dagster."""
    _add(instance, DAYS, [day.isoformat() for day in sorted(days)])


def _add(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: list[str]
) -> None:
    for first in range(0, len(keys), _ADDED_AT_ONCE):
        instance.add_dynamic_partitions(str(partitions.name), keys[first : first + _ADDED_AT_ONCE])


def remove_windows(instance: dg.DagsterInstance, windows: Iterable[datetime]) -> None:
    """Remove the partitions of these windows from Dagster."""
    for window in windows:
        instance.delete_dynamic_partition(str(WINDOWS.name), partition_key(window))


def places(instance: dg.DagsterInstance) -> dict[datetime, int]:
    """The position of each window among Dagster's partitions: a range run takes neighbours, and a
    late window stands where it was added."""
    keys = instance.get_dynamic_partitions(str(WINDOWS.name))
    return {window: place for place, window in enumerate(windows_of(keys))}


def day_places(instance: dg.DagsterInstance) -> dict[date, int]:
    """The position of each day among Dagster's partitions."""
    keys = instance.get_dynamic_partitions(str(DAYS.name))
    return {date.fromisoformat(key): place for place, key in enumerate(keys)}


def stretches(
    parts: Iterable[WindowOrDay], places: Mapping[WindowOrDay, int], most: int
) -> list[list[WindowOrDay]]:
    """These windows, or days, in the order of their places, cut wherever two are not neighbours,
    and after `most` of them."""
    found: list[list[WindowOrDay]] = []
    for part in sorted(parts, key=places.__getitem__):
        if found and places[found[-1][-1]] + 1 == places[part] and len(found[-1]) < most:
            found[-1].append(part)
        else:
            found.append([part])
    return found


def partition_key(window: datetime) -> str:
    """The key of the partition of a window."""
    return window.astimezone(UTC).strftime(KEY_FORMAT)


def range_tags(windows: Sequence[datetime]) -> dict[str, str]:
    """The tags of a run over these windows, which are neighbours."""
    ends = {RANGE_START: partition_key(windows[0]), RANGE_END: partition_key(windows[-1])}
    return ends | windows_tag(windows)


def day_range_tags(days: Sequence[date]) -> dict[str, str]:
    """The tags of a run over these days, which are neighbours."""
    return {RANGE_START: days[0].isoformat(), RANGE_END: days[-1].isoformat()}


def windows_tag(windows: Sequence[datetime]) -> dict[str, str]:
    """The tag that says which windows a run is about, for people: the list of runs does not show
    Dagster's own tags."""
    more = f" +{len(windows) - 1}" if len(windows) > 1 else ""
    return {"windows": f"{partition_key(windows[0])}{more}"}


def windows_in_range(tags: Mapping[str, str], places: Mapping[datetime, int]) -> list[datetime]:
    """The windows of a run with these tags; none where the tags name none, or one that
    retention has dropped."""
    return _in_range(windows_of(_ends(tags)), places)


def days_in_range(tags: Mapping[str, str], places: Mapping[date, int]) -> list[date]:
    """The days of a run with these tags; none where the tags name none, or one that retention
    has dropped."""
    return _in_range([date.fromisoformat(key) for key in _ends(tags)], places)


def _ends(tags: Mapping[str, str]) -> list[str]:
    if RANGE_START in tags:
        return [tags[RANGE_START], tags[RANGE_END]]
    return [tags[_PARTITION]] if _PARTITION in tags else []


def _in_range(ends: Sequence[WindowOrDay], places: Mapping[WindowOrDay, int]) -> list[WindowOrDay]:
    if not ends or any(end not in places for end in ends):
        return []
    return [*places][places[ends[0]] : places[ends[-1]] + 1]


def windows_of(keys: Iterable[str]) -> list[datetime]:
    """The windows of these partition keys."""
    return [datetime.strptime(key, KEY_FORMAT).replace(tzinfo=UTC) for key in keys]
