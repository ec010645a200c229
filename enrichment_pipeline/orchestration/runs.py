"""Runs of Dagster: which have not ended, and who started one."""

import dagster as dg

LAUNCHED_BY_SENSOR = "enrichment/launched_by_sensor"
"""Tag of the runs that a sensor launched."""

LAUNCHED_BY_SCHEDULE = "enrichment/launched_by_schedule"
"""Tag of the runs of the pull's schedule."""

WILL_RETRY = "dagster/will_retry"
"""Dagster's tag of a failed run: whether Dagster retries it automatically; `true` or `false`."""

_RETRY_NUMBER = "dagster/retry_number"

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""The statuses of runs that have not ended."""


def is_asked_for(run: dg.DagsterRun) -> bool:
    """Whether a person asked for this run: in the UI, by a backfill, by a command, or by executing
    a sensor's run again, whose tags Dagster copies. Dagster's own retry after a crash does not
    count."""
    again = run.parent_run_id is not None and _RETRY_NUMBER not in run.tags
    return again or not {LAUNCHED_BY_SENSOR, LAUNCHED_BY_SCHEDULE} & run.tags.keys()


def is_scheduled(run: dg.DagsterRun) -> bool:
    """Whether the pull's schedule launched this run."""
    return LAUNCHED_BY_SCHEDULE in run.tags and not is_asked_for(run)
