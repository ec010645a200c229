"""Runs of Dagster: which are under way, who started one, and how one shows that it is alive."""

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

LAUNCHED_BY_SENSOR = "enrichment/launched_by_sensor"
"""Tag of the runs that a sensor launched."""

LAUNCHED_BY_SCHEDULE = "enrichment/launched_by_schedule"
"""Tag of the runs of the pull's schedule."""

WILL_RETRY = "dagster/will_retry"
"""Dagster's tag of a failed run: whether Dagster retries it automatically; `true` or `false`."""

_RETRIED_BY = "dagster/auto_retry_run_id"
"""Dagster's tag of a failed run: the id of its automatic retry."""

_TICK = "dagster/tick"
"""Dagster's tag of the runs that a tick of a sensor or schedule launched, and of no others."""

_NOT_ENDED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

_LONGEST_SILENCE = timedelta(minutes=15)
_LOGS_EVERY = 30.0


class ProgressLog:
    """Logs how far a run is, at most twice a minute. A run that logs counts as under way."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._last = time.monotonic()

    def __call__(self, line: str) -> None:
        """Log this line, if it is time."""
        if time.monotonic() - self._last >= _LOGS_EVERY:
            self._last = time.monotonic()
            self._log.info(line)


def runs_under_way(instance: dg.DagsterInstance, **of: Any) -> list[dg.DagsterRun]:
    """The runs that have not ended; `of` are further arguments of Dagster's `RunsFilter`.

    A run whose process was killed stays STARTED for hours: one that has logged nothing for a
    quarter of an hour does not count. What it was to do may be launched again even if it is alive,
    because batches, days and windows that one process has claimed are left to it by the others.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=_NOT_ENDED, **of))
    return [record.dagster_run for record in records if _is_alive(instance, record)]


def _is_alive(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    if record.dagster_run.status is dg.DagsterRunStatus.QUEUED:
        return True
    long_ago = datetime.now(UTC) - _LONGEST_SILENCE
    # It moves with the run's status only.
    if record.update_timestamp > long_ago:
        return True
    newest = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False)
    return any(entry.timestamp > long_ago.timestamp() for entry in newest.records)


def run_name(run_id: str) -> str:
    """The name by which the store records that this run processed something."""
    return f"run {run_id}"


def is_asked_for(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a person asked for this run: in the UI, by a backfill or by a command.

    Also one that executes a sensor's run again, or launches what the preview of a tick shows:
    Dagster gives these runs the tags of the other. An automatic retry counts as the run it retries.
    """
    if run.parent_run_id is None:
        return _TICK not in run.tags
    parent = instance.get_run_by_id(run.parent_run_id)
    if parent and parent.tags.get(_RETRIED_BY) == run.run_id:
        return is_asked_for(instance, parent)
    return True


def is_scheduled(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the pull's schedule launched this run."""
    return LAUNCHED_BY_SCHEDULE in run.tags and not is_asked_for(instance, run)
