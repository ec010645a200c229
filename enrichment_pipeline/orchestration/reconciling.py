"""Reconciling: what workers have finished is told to Dagster by a run that enriches nothing.

Workers never write to Dagster: a thousand commits a second would be too many for it. Without a
broker there is nothing to reconcile, because runs of Dagster enrich, and tell what they did.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.orchestration.assets import LAUNCHED_BY_SENSOR, RETRY_OUTAGES
from enrichment_pipeline.orchestration.partitions import (
    RANGE_END,
    RANGE_START,
    partition_key,
    windows_of,
)
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB, Job
from enrichment_pipeline.orchestration.telling import tell
from enrichment_pipeline.orchestration.windows import look_at_open_window, look_at_windows
from enrichment_pipeline.store.books import WindowBooks
from enrichment_pipeline.store.dead_letters import dead_windows
from enrichment_pipeline.store.told import finished_since, untold

RECONCILE_OP = "reconcile"

MOST_WINDOWS = 100
"""In one run, the newest; the others are told by the next ones."""

SECONDS = 60
"""Between two looks, and so between two materializations of a window that is still filling."""

# A batch is finished when its transaction began, and seen when that was committed.
_OVERLAP = timedelta(minutes=10)


class ReconcileConfig(dg.Config):
    """Which windows to look at."""

    windows: list[str]
    """Keys of partitions of `enriched_events`."""


@dg.op(name=RECONCILE_OP, retry_policy=RETRY_OUTAGES)
def reconcile(context: dg.OpExecutionContext, config: ReconcileConfig, pipeline: Pipeline) -> None:
    """Count what lies in these windows and tell it; nothing is enriched.

    The window that is still filling is told as its batches have it: to count its rows takes longer
    the fuller it is, and is done once it is over.
    """
    store = pipeline.store
    still_open = window_start(datetime.now(UTC), store.window)
    over = [window for window in windows_of(config.windows) if window < still_open]
    if over:
        tell(context, pipeline, look_at_windows(store, over))
    filling = [window for window in windows_of(config.windows) if window >= still_open]
    if filling:
        tell(context, pipeline, look_at_open_window(store, filling))


@dg.job(
    name="enrichment_reconcile",
    description="Tells Dagster of windows that workers have finished; enriches nothing.",
)
def enrichment_reconcile() -> None:
    """The reconciling run as a job."""
    reconcile()


def build_reconciling_sensor(job: Job) -> dg.SensorDefinition:
    """The sensor that launches it; `job` is the one that enriches a stretch of windows."""

    @dg.sensor(
        name="finished_windows",
        jobs=[enrichment_reconcile, job],
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of the windows that workers have finished, and lets those that hold a "
        "dead batch show FAILED.",
    )
    def finished_windows(
        context: dg.SensorEvaluationContext, pipeline: Pipeline
    ) -> dg.SensorResult | dg.SkipReason:
        now = datetime.now(UTC)
        cursor = json.loads(context.cursor) if context.cursor else {}
        since = datetime.fromisoformat(cursor.get("looked_at", now.isoformat())) - _OVERLAP
        with pipeline.store.transaction() as connection:
            candidates = {*windows_of(cursor.get("untold", [])), *finished_since(connection, since)}
            found = untold(connection, sorted(candidates))
            dead = dead_windows(connection, [window.window_start for window in found])
        after = json.dumps(
            {
                "looked_at": now.isoformat(),
                # Looked at again until a run has told it, whatever becomes of that run.
                "untold": [partition_key(window.window_start) for window in found],
            }
        )
        if not found:
            context.update_cursor(after)
            return dg.SkipReason("Dagster knows all that is finished")
        healthy = [window for window in found if window.window_start not in dead][-MOST_WINDOWS:]
        failed = [window for window in found if window.window_start in dead][-MOST_WINDOWS:]
        requests = [_fail(window) for window in failed]
        if healthy:
            requests.append(_reconcile(healthy, now))
        return dg.SensorResult(run_requests=requests, cursor=after)

    return finished_windows


def _reconcile(windows: Sequence[WindowBooks], now: datetime) -> dg.RunRequest:
    keys = [partition_key(window.window_start) for window in windows]
    return dg.RunRequest(
        f"reconcile:{now.isoformat()}",
        job_name=enrichment_reconcile.name,
        run_config=dg.RunConfig(ops={RECONCILE_OP: ReconcileConfig(windows=keys)}),
        tags={LAUNCHED_BY_SENSOR: "true"},
    )


def _fail(window: WindowBooks) -> dg.RunRequest:
    """A partitioned run, in which a window that holds a dead batch shows FAILED; not launched twice
    for the same dead events."""
    key = partition_key(window.window_start)
    return dg.RunRequest(
        f"failed:{key}:{window.dead}",
        job_name=ENRICHMENT_JOB,
        tags={LAUNCHED_BY_SENSOR: "true", RANGE_START: key, RANGE_END: key},
    )
