"""Which runs the sensor launches: a pure decision over what is due.

Asking the store and Dagster, and making run requests, belongs to `sensors`.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from math import floor, log2
from typing import NamedTuple

from enrichment_pipeline.store.claims import DueWindow
from enrichment_pipeline.store.windows import Covered

MAX_RANGES = 4
"""More stretches of windows than this are not worth a run each; the short ones go as a sweep."""

MAX_WINDOWS = 500
"""In one run: a failure costs no more than that, and the UI shows how far it is."""

_FIRST_EPOCH = timedelta(minutes=1)
_DOUBLINGS = 6  # 1, 3, 7, 15, 31, 63 minutes; after that, hourly
_LAST_EPOCH = timedelta(hours=1)

_AGAIN_AFTER = timedelta(minutes=5)
"""After which empty windows that a run has failed to show are shown by another one."""


MAX_WINDOWS_BEHIND = 200
"""In one run of what can wait: an import of old events makes thousands of empty windows, and the
runs that show them must not be in the way for long."""


class Launch(NamedTuple):
    """A run to launch: the windows of a range, or (for a sweep) scattered ones."""

    windows: tuple[datetime, ...]
    is_sweep: bool
    run_key: str
    is_behind: bool = False
    """Whether it can wait for all others: historical batches, and empty windows of the past."""


class Situation(NamedTuple):
    """All that the decision depends on."""

    now: datetime
    window: timedelta
    first_window: datetime
    open_window: datetime
    """The window that `now` lies in; it is the last one."""
    due: Sequence[DueWindow]
    under_way: Collection[datetime]
    """Windows of runs that have not ended."""
    covered: Covered | None


def plan(situation: Situation) -> list[Launch]:
    """The runs to launch now.

    Every due window that no run is at work on is in exactly one of them. A window whose batches
    have failed gets a run of its own, so that it can show FAILED. Windows that are over and that
    Dagster has never seen go along, so that it knows the empty ones as finished.
    """
    due = {
        window.window_start: window
        for window in situation.due
        if window.window_start not in situation.under_way
        and situation.first_window <= window.window_start <= situation.open_window
    }
    alone = {start for start, window in due.items() if window.attempts}
    historical = {start for start, window in due.items() if window.historical} - alone
    live = due.keys() - alone - historical
    newer, older = _uncovered(situation)
    first = _grouped(live | newer - alone, live, MAX_RANGES - 1, situation.window)
    taken = {start for group, _ in first for start in group}
    rest = (historical | older) - alone - live - taken
    last = _grouped(rest, historical - taken, 1, situation.window)
    return [
        *(_launch(group, due, situation.now, is_sweep=sweep) for group, sweep in first),
        *(_launch((start,), due, situation.now) for start in sorted(alone)),
        *(
            _launch(group, due, situation.now, is_sweep=sweep, is_behind=True)
            for group, sweep in last
        ),
    ]


def _grouped(
    windows: Collection[datetime], due: Collection[datetime], most_ranges: int, length: timedelta
) -> list[tuple[tuple[datetime, ...], bool]]:
    """These windows as stretches, the longest ones, and at most one sweep of what is left of the
    due ones; for each whether it is a sweep."""
    found = [stretch for stretch in stretches(sorted(windows), length) if len(stretch) > 1]
    ranges = sorted(found, key=len, reverse=True)[:most_ranges]
    in_ranges = {start for stretch in ranges for start in stretch}
    scattered = sorted(set(due) - in_ranges)[:MAX_WINDOWS]
    groups = [(tuple(stretch), False) for stretch in ranges]
    return [*groups, (tuple(scattered), len(scattered) > 1)] if scattered else groups


def _uncovered(situation: Situation) -> tuple[set[datetime], set[datetime]]:
    """Windows that are over and were never shown to Dagster: those newer than the shown ones, and
    if there are none of these, the older ones nearest to them."""
    length, covered = situation.window, situation.covered
    if covered is None:
        covered = Covered(situation.open_window, situation.open_window)
    newer = _between(covered.end, situation.open_window, length)[:MAX_WINDOWS]
    older = _between(situation.first_window, covered.start, length)[::-1][:MAX_WINDOWS_BEHIND]
    if newer:
        older = []
    # A run that is at work on some of them will move the edge; the rest waits for that.
    if any(start in situation.under_way for start in newer or older):
        return set(), set()
    return set(newer), set(older)


def _between(start: datetime, end: datetime, length: timedelta) -> list[datetime]:
    return [start + length * number for number in range(max(0, (end - start) // length))]


def stretches(windows: Sequence[datetime], length: timedelta) -> list[list[datetime]]:
    """Sorted windows, cut where one is not followed by the next, and at the most for one run."""
    found: list[list[datetime]] = []
    for start in windows:
        if found and found[-1][-1] + length == start and len(found[-1]) < MAX_WINDOWS:
            found[-1].append(start)
        else:
            found.append([start])
    return found


def _launch(
    windows: tuple[datetime, ...],
    due: dict[datetime, DueWindow],
    now: datetime,
    *,
    is_sweep: bool = False,
    is_behind: bool = False,
) -> Launch:
    concerned = [due[start] for start in windows if start in due]
    newest = max((window.newest_batch for window in concerned), default=0)
    attempts = sum(window.attempts for window in concerned)
    if concerned:
        epoch = _epoch(now - max(window.due_since for window in concerned))
    else:
        epoch = int(now.timestamp() // _AGAIN_AFTER.total_seconds())
    kind = "sweep" if is_sweep else "range"
    stretch = f"{windows[0]:%Y%m%dT%H%M}-{windows[-1]:%Y%m%dT%H%M}:{len(windows)}"
    run_key = f"{kind}:{stretch}:{newest}:{attempts}:{epoch}"
    return Launch(windows, is_sweep, run_key, is_behind)


def _epoch(waited: timedelta) -> int:
    """How often work that has waited this long should have been launched again.

    Dagster never launches a run key twice, not even after a failure. After an outage of the store
    nothing about the due batches has changed, so the key must change by itself: after 1, 3, 7 …
    minutes, then hourly.
    """
    doublings = floor(log2(max(waited / _FIRST_EPOCH, 0) + 1))
    if doublings < _DOUBLINGS:
        return doublings
    since_hourly = waited - _FIRST_EPOCH * float(2**_DOUBLINGS - 1)
    return _DOUBLINGS + since_hourly // _LAST_EPOCH
