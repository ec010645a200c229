"""The sensor `due_windows`: reads what is due, lets `planning` decide, and launches the runs."""

import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import dagster as dg

from enrichment_pipeline.orchestration.heartbeats import records_heartbeat
from enrichment_pipeline.orchestration.keys import DEAD_LETTER, ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.partitions import (
    add_windows,
    partition_key,
    places,
    range_tags,
    windows_in_range,
    windows_of,
    windows_tag,
)
from enrichment_pipeline.orchestration.planning import Launch, plan, rest_after
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import LAUNCHED_BY_SENSOR, runs_under_way
from enrichment_pipeline.orchestration.sweep import SWEEP_OP, SweepConfig, enrichment_sweep
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.queue.claims import due_windows
from enrichment_pipeline.wording import counted

ENRICHMENT_JOB = "enrichment"

# The type that define_asset_job returns has no public name.
Job = Any

_LOOKS_EVERY = 0.5
"""Seconds; an event waits half of it on average, and a look costs a millisecond."""

_LONGEST_TICK = 45
"""Seconds; Dagster gives up a tick after a minute."""

_PRIORITY = "dagster/priority"
_ASSETS = [RAW_EVENTS, ENRICHED_EVENTS, DEAD_LETTER]


def build_enrichment_job() -> Job:
    """The job that the sensors launch."""
    return dg.define_asset_job(
        ENRICHMENT_JOB,
        selection=dg.AssetSelection.assets(*_ASSETS),
        description="Enriches a window or a stretch of windows.",
    )


def build_sensor(
    job: Job, seconds: int, grace: timedelta = timedelta(0), *, waits: bool = False
) -> dg.SensorDefinition:
    """The sensor, which ticks every `seconds`; for as long as `grace`, what is due is left to the
    workers. Where it `waits`, a tick that finds nothing to launch looks again until the next one is
    due, and ticks follow each other without a break; not where they are rarer than Dagster lets one
    last."""
    waits = waits and seconds <= _LONGEST_TICK

    @dg.sensor(
        name="due_windows",
        jobs=[job, enrichment_sweep],
        minimum_interval_seconds=1 if waits else seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Launches partitioned runs for the windows that hold due batches.",
    )
    @keeps_errors_private
    @records_heartbeat("due_windows")
    def due_windows_sensor(
        context: dg.SensorEvaluationContext, pipeline: Pipeline
    ) -> dg.SensorResult | dg.SkipReason:
        until = time.monotonic() + (seconds if waits else 0)
        while True:
            found = _look(context.instance, pipeline.store, grace, seconds if waits else 0)
            if isinstance(found, dg.SensorResult) or time.monotonic() >= until:
                return found
            time.sleep(_LOOKS_EVERY)

    return due_windows_sensor


def _look(
    instance: dg.DagsterInstance, store: Store, grace: timedelta, longest_rest: float
) -> dg.SensorResult | dg.SkipReason:
    """The runs to launch now, or why none is."""
    with store.transaction() as connection:
        due = due_windows(connection, grace)
    if not due:
        return dg.SkipReason("nothing is due")
    add_windows(instance, [window.window_start for window in due])
    shown = places(instance)
    under_way = set(windows_under_way(instance, shown))
    launches = plan(due, under_way, shown)
    if not launches:
        return dg.SkipReason(
            f"{counted(len(due), 'window is', 'windows are')} due; runs are at work or waiting"
        )
    if longest_rest and _rests(instance, longest_rest):
        return dg.SkipReason("the last run took long; the next one waits a little")
    return dg.SensorResult(run_requests=[_request(launch) for launch in launches])


def _rests(instance: dg.DagsterInstance, longest: float) -> bool:
    """Whether the last run of the sensors ended so lately that the next one is to wait."""
    ended = dg.RunsFilter(
        job_name=ENRICHMENT_JOB,
        tags={LAUNCHED_BY_SENSOR: "true"},
        statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE],
    )
    return any(
        time.time() < run.end_time + rest_after(run.end_time - run.start_time, longest)
        for run in instance.get_run_records(ended, limit=1)
        if run.start_time and run.end_time
    )


def windows_under_way(
    instance: dg.DagsterInstance, places: Mapping[datetime, int]
) -> Iterator[datetime]:
    """The windows of the sensors' runs that enrich and have not ended."""
    for run in runs_under_way(instance, tags={LAUNCHED_BY_SENSOR: "true"}):
        if run.job_name == ENRICHMENT_JOB:
            yield from windows_in_range(run.tags, places)
        elif run.job_name == enrichment_sweep.name:
            config = cast("dict[str, Any]", run.run_config)
            yield from windows_of(config["ops"][SWEEP_OP]["config"]["windows"])


def _request(launch: Launch) -> dg.RunRequest:
    tags = {LAUNCHED_BY_SENSOR: "true"}
    if launch.is_behind:
        tags[_PRIORITY] = "-1"
    if launch.is_sweep:
        keys = [partition_key(window) for window in launch.windows]
        return dg.RunRequest(
            launch.run_key,
            job_name=enrichment_sweep.name,
            run_config=dg.RunConfig(ops={SWEEP_OP: SweepConfig(windows=keys)}),
            tags=tags | windows_tag(launch.windows),
        )
    return dg.RunRequest(
        launch.run_key, job_name=ENRICHMENT_JOB, tags=tags | range_tags(launch.windows)
    )
