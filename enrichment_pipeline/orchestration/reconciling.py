"""Reconciling: what workers have finished is told to Dagster by a run that enriches nothing.

Workers never write to Dagster: a thousand commits a second would be too many for it. Without a
broker there is nothing to reconcile, because runs of Dagster enrich, and tell what they did.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

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
from enrichment_pipeline.store.dead_letters import newest_deaths
from enrichment_pipeline.store.told import finished_since, untold
from enrichment_pipeline.store.windows import widen_partition_start

RECONCILE_OP = "reconcile"

MOST_WINDOWS = 100
"""In one run, the newest; the others are told by the next ones."""

SECONDS = 60
"""Between two looks, and so between two materializations of a window that is still filling."""

_OVERLAP = timedelta(minutes=2)
_MOST_REMEMBERED = 1_000
_NEVER = "1970-01-01T00:00:00+00:00"


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


class _Cursor(NamedTuple):
    """What the sensor knows from its last tick."""

    looked_at: str = _NEVER
    untold: Sequence[str] = ()
    """Windows that are looked at again until a run has told them, whatever became of that run."""
    failed: Mapping[str, str] = {}
    """Windows with a dead batch, and the death that a run was launched for."""


def build_reconciling_sensor(
    partitions: dg.TimeWindowPartitionsDefinition, job: Job
) -> dg.SensorDefinition:
    """The sensor over these partitions; `job` is the one that enriches a stretch of windows."""
    first_window = partitions.start.astimezone(UTC)

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
    ) -> dg.SensorResult:
        now = datetime.now(UTC)
        cursor = _Cursor(**json.loads(context.cursor)) if context.cursor else _Cursor()
        since = datetime.fromisoformat(cursor.looked_at)
        with pipeline.store.transaction() as connection:
            finished = finished_since(connection, since, _OVERLAP)
            found = untold(connection, sorted({*windows_of(cursor.untold), *finished}))
            dead = newest_deaths(connection, [window.window_start for window in found])
            if found:
                # Retention may have moved the start past events that came in that moment.
                widen_partition_start(connection, found[0].window_start)
        last = window_start(now, pipeline.store.window)
        shown = {w.window_start for w in found if first_window <= w.window_start <= last}
        healthy = [window for window in sorted(shown) if window not in dead][-MOST_WINDOWS:]
        deaths = {partition_key(w): death for w, death in dead.items() if w in shown}
        requests = [
            _fail(key, death) for key, death in deaths.items() if cursor.failed.get(key) != death
        ][-MOST_WINDOWS:]
        if healthy:
            requests.append(_reconcile(healthy, now))
        waiting = [partition_key(w.window_start) for w in found if w.window_start not in dead]
        later = [partition_key(window) for window in dead if window not in shown]
        failed = [*{**cursor.failed, **deaths}.items()][-_MOST_REMEMBERED:]
        after = _Cursor(now.isoformat(), [*waiting, *later], dict(failed))
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(after._asdict()))

    return finished_windows


def _reconcile(windows: Sequence[datetime], now: datetime) -> dg.RunRequest:
    keys = [partition_key(window) for window in windows]
    return dg.RunRequest(
        f"reconcile:{now.isoformat()}",
        job_name=enrichment_reconcile.name,
        run_config=dg.RunConfig(ops={RECONCILE_OP: ReconcileConfig(windows=keys)}),
        tags={LAUNCHED_BY_SENSOR: "true"},
    )


def _fail(key: str, death: str) -> dg.RunRequest:
    """A partitioned run, in which a window that holds a dead batch shows FAILED; once for each
    death."""
    return dg.RunRequest(
        f"failed:{key}:{death}",
        job_name=ENRICHMENT_JOB,
        tags={LAUNCHED_BY_SENSOR: "true", RANGE_START: key, RANGE_END: key},
    )
