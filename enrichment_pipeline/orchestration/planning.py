"""Which runs the sensor launches: a pure decision over what is due.

Reading the store and Dagster, and making run requests, belongs to `sensors`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from math import floor, log2
from typing import NamedTuple

from enrichment_pipeline.orchestration.partitions import stretches
from enrichment_pipeline.store.queue.claims import DueWindow

MAX_RANGES = 4
"""More stretches of windows than this are not worth a run each; the short ones go as a sweep."""

MAX_WINDOWS = 500
"""Windows in one run: a failure costs no more than these, and the UI shows the progress."""

_SHORT_RUN = 5.0
_RESTS = 3.0

_FIRST_EPOCH = timedelta(minutes=1)
_DOUBLINGS = 6  # 1, 3, 7, 15, 31, 63 minutes; after that, hourly
_LAST_EPOCH = timedelta(hours=1)


class Launch(NamedTuple):
    """A run to launch: the windows of a range, or (for a sweep) scattered ones."""

    windows: tuple[datetime, ...]
    is_sweep: bool
    run_key: str
    is_behind: bool = False
    """Whether the run can wait for all others, since its windows hold historical batches only."""


def plan(
    due: Sequence[DueWindow], under_way: Collection[datetime], places: Mapping[datetime, int]
) -> list[Launch]:
    """The runs to launch now. The windows `under_way` are in runs that have not ended; `places` are
    the positions of windows among Dagster's partitions, because a range run takes neighbours.

    Every due window without a run under way is in exactly one of them. A window whose batches have
    failed gets a run of its own, so that it can show FAILED.
    """
    idle = {one.window_start: one for one in due if one.window_start not in under_way}
    alone = {start for start, window in idle.items() if window.attempts}
    historical = {start for start, window in idle.items() if window.historical} - alone
    live = idle.keys() - alone - historical
    first = _grouped(live, places, MAX_RANGES - 1)
    last = _grouped(historical, places, 1)
    return [
        *(_launch(group, idle, is_sweep=sweep) for group, sweep in first),
        *(_launch((start,), idle) for start in sorted(alone)),
        *(_launch(group, idle, is_sweep=sweep, is_behind=True) for group, sweep in last),
    ]


def _grouped(
    windows: Collection[datetime], places: Mapping[datetime, int], most_ranges: int
) -> list[tuple[tuple[datetime, ...], bool]]:
    """These windows grouped into the longest stretches and at most one sweep of the rest; each
    group with whether it is a sweep."""
    found = [one for one in stretches(windows, places, MAX_WINDOWS) if len(one) > 1]
    ranges = sorted(found, key=len, reverse=True)[:most_ranges]
    in_ranges = {start for stretch in ranges for start in stretch}
    scattered = sorted(set(windows) - in_ranges)[:MAX_WINDOWS]
    groups = [(tuple(stretch), False) for stretch in ranges]
    return [*groups, (tuple(scattered), len(scattered) > 1)] if scattered else groups


def _launch(
    windows: tuple[datetime, ...],
    due: Mapping[datetime, DueWindow],
    *,
    is_sweep: bool = False,
    is_behind: bool = False,
) -> Launch:
    concerned = [due[start] for start in windows]
    newest = max(window.newest_batch for window in concerned)
    attempts = sum(window.attempts for window in concerned)
    epoch = launch_number(min(window.waited for window in concerned))
    kind = "sweep" if is_sweep else "range"
    stretch = f"{windows[0]:%Y%m%dT%H%M}-{windows[-1]:%Y%m%dT%H%M}:{len(windows)}"
    run_key = f"{kind}:{stretch}:{newest}:{attempts}:{epoch}"
    return Launch(windows, is_sweep, run_key, is_behind)


def rest_after(took: float, longest: float) -> float:
    """Seconds until the next run after one that took so many, where ticks wait for what comes due.

    A run counts the rows of its windows. Small ones may follow each other at once; without a rest,
    those over an hour with millions of events would do nothing else.
    """
    return min(_RESTS * max(took - _SHORT_RUN, 0.0), longest)


def launch_number(waited: timedelta) -> int:
    """How often work that has waited this long should have been launched again.

    Dagster never launches a run key twice, not even after a failure. After an outage of the store
    the due batches are the same, so the key has to change with time: after 1, 3, 7 … minutes, then
    hourly.
    """
    doublings = floor(log2(max(waited / _FIRST_EPOCH, 0) + 1))
    if doublings < _DOUBLINGS:
        return doublings
    since_hourly = waited - _FIRST_EPOCH * float(2**_DOUBLINGS - 1)
    return _DOUBLINGS + since_hourly // _LAST_EPOCH
