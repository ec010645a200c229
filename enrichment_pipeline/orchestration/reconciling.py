"""Reconciling: what workers have finished is told to Dagster by a run that enriches nothing.

Workers never write to Dagster: a thousand commits a second would be too many for it. Without a
broker there is nothing to reconcile, because runs of Dagster enrich, and tell what they did.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg

from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.orchestration.assets import LAUNCHED_BY_SENSOR, RETRY_OUTAGES
from enrichment_pipeline.orchestration.partitions import partition_key, windows_of
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.telling import tell
from enrichment_pipeline.orchestration.windows import look_at_open_window, look_at_windows
from enrichment_pipeline.store.dead_letters import dead_windows
from enrichment_pipeline.store.told import finished_since, untold
from enrichment_pipeline.store.windows import widen_partition_start

RECONCILE_OP = "reconcile"

MOST_WINDOWS = 100
"""In one run, the newest; the others are told by the next ones."""

SECONDS = 60
"""Between two looks, and so between two materializations of a window that is still filling."""

_OVERLAP = timedelta(minutes=2)
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


def build_reconciling_sensor(partitions: dg.TimeWindowPartitionsDefinition) -> dg.SensorDefinition:
    """The sensor over these partitions."""
    first_window = partitions.start.astimezone(UTC)

    @dg.sensor(
        name="finished_windows",
        job=enrichment_reconcile,
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of the windows that workers have finished.",
    )
    def finished_windows(
        context: dg.SensorEvaluationContext, pipeline: Pipeline
    ) -> dg.SensorResult:
        now = datetime.now(UTC)
        cursor = _cursor(context.cursor)
        since = datetime.fromisoformat(cursor.looked_at)
        with pipeline.store.transaction() as connection:
            finished = finished_since(connection, since, _OVERLAP)
            found = untold(connection, sorted({*windows_of(cursor.untold), *finished}))
            # Those are another sensor's, which lets them show FAILED.
            dead = dead_windows(connection, [window.window_start for window in found])
            if found:
                # Retention may have moved the start past events that came in that moment.
                widen_partition_start(connection, found[0].window_start)
        last = window_start(now, pipeline.store.window)
        finished_now = [window.window_start for window in found if window.window_start not in dead]
        shown = [window for window in finished_now if first_window <= window <= last]
        requests = [_reconcile(shown[-MOST_WINDOWS:], now)] if shown else []
        after = _Cursor(now.isoformat(), [partition_key(window) for window in finished_now])
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(after._asdict()))

    return finished_windows


def _cursor(kept: str | None) -> _Cursor:
    found = json.loads(kept) if kept else {}
    # That of an older version has more in it.
    return _Cursor(**{name: found[name] for name in _Cursor._fields if name in found})


def _reconcile(windows: Sequence[datetime], now: datetime) -> dg.RunRequest:
    keys = [partition_key(window) for window in windows]
    return dg.RunRequest(
        f"reconcile:{now.isoformat()}",
        job_name=enrichment_reconcile.name,
        run_config=dg.RunConfig(ops={RECONCILE_OP: ReconcileConfig(windows=keys)}),
        tags={LAUNCHED_BY_SENSOR: "true"},
    )
