"""The sensor that keeps what Dagster shows up to date: it consumes the change feed.

It publishes the windows that workers, replays and commands have changed, and the dead letters,
without a run. It launches runs for two things only: a window that holds a dead batch can show
FAILED only through a run, and a run builds the sessions of days.
"""

import time
from collections.abc import Collection
from datetime import datetime, timedelta

import dagster as dg

from enrichment_pipeline.orchestration.heartbeats import records_heartbeat
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.partitions import (
    WINDOWS,
    add_windows,
    partition_key,
    places,
    range_tags,
    stretches,
)
from enrichment_pipeline.orchestration.planning import MAX_WINDOWS
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.publishing import (
    publish_broken,
    publish_windows,
    seen_by_sensor,
)
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import LAUNCHED_BY_SENSOR
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB, Job, windows_under_way
from enrichment_pipeline.orchestration.session_launches import days_that_failed, session_launches
from enrichment_pipeline.orchestration.windows import read_windows
from enrichment_pipeline.store.dead_letters.summary import broken_now, dead_windows, failed_windows
from enrichment_pipeline.store.queue.changes import (
    changed_days,
    changed_windows,
    take_letter_changes,
)
from enrichment_pipeline.store.windows.freshness import newest_enriched_window
from enrichment_pipeline.wording import counted

QUIET = timedelta(seconds=30)
"""Time between two materializations of a window that is still filling."""

_MOST_WINDOWS = 500
"""Windows that one tick publishes; the next ticks publish the others."""
_AT_ONCE = 20
_MOST_SECONDS = 20.0
"""How long a tick publishes; Dagster gives up a tick after a minute."""

_MOST_FAILING = 20
"""Runs that one tick launches; the next ticks launch the others."""

# Dagster's enumeration of these states is not public.
_SEEN = ("FAILED", "IN_PROGRESS")


def build_changed_sensor(enrichment: Job, sessions: Job, seconds: int) -> dg.SensorDefinition:
    """The sensor, which ticks every `seconds`; the job `enrichment` enriches windows, the job
    `sessions` builds the sessions of days."""

    @dg.sensor(
        name="changed_windows",
        jobs=[enrichment, sessions],
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Publishes windows that were enriched, replayed or healed elsewhere, shows as "
        "FAILED what holds a dead batch, and launches the building of sessions.",
    )
    @keeps_errors_private
    @records_heartbeat("changed_windows")
    def changed_sensor(
        context: dg.SensorEvaluationContext, pipeline: Pipeline
    ) -> dg.SensorResult | dg.SkipReason:
        under_way = set(windows_under_way(context.instance, places(context.instance)))
        published = _publish_windows(context.instance, pipeline, under_way)
        _publish_broken(context.instance, pipeline)
        with pipeline.store.transaction() as connection:
            failed = failed_windows(connection)
            days = changed_days(connection)
            failed_days = days_that_failed(connection)
        requests = [
            *_failing(context.instance, failed.keys() - under_way),
            *session_launches(context.instance, days, failed_days),
        ]
        if requests:
            return dg.SensorResult(run_requests=requests)
        return dg.SkipReason(
            f"{counted(published, 'window')} published" if published else "nothing changed"
        )

    return changed_sensor


def _publish_windows(
    instance: dg.DagsterInstance, pipeline: Pipeline, under_way: Collection[datetime]
) -> int:
    """Publish the windows that have changed; returns how many. The windows of runs under way are
    left to those runs."""
    store = pipeline.store
    with store.transaction() as connection:
        changed = changed_windows(connection, store.window, QUIET, _MOST_WINDOWS)
        newest = newest_enriched_window(connection)
        is_failed = newest is not None and bool(dead_windows(connection, [newest]))
    # A window that shows FAILED is never materialized.
    if newest and not is_failed and not _is_in_the_overview(instance, newest):
        changed.append(newest)
    mine = sorted(set(changed).difference(under_way))
    add_windows(instance, mine)
    published = 0
    began = time.monotonic()
    # The newest first, so that they wait for no backlog; within a group the newest comes last.
    for end in range(len(mine), 0, -_AT_ONCE):
        if time.monotonic() - began > _MOST_SECONDS:
            break
        published += _publish_some(instance, pipeline, mine[max(0, end - _AT_ONCE) : end])
    return published


def _is_in_the_overview(instance: dg.DagsterInstance, window: datetime) -> bool:
    """Whether the overviews show this window: they show what was materialized last. That is another
    one where an event of years ago, or an hour without events, came after it."""
    enriched, raw = (_last(instance, asset) for asset in (ENRICHED_EVENTS, RAW_EVENTS))
    if enriched is None:
        return True
    accepted = raw.metadata.get("accepted") if raw else None
    raw_is_empty = accepted is not None and not accepted.value
    return enriched.partition == partition_key(window) and not raw_is_empty


def _last(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dg.AssetMaterialization | None:
    event = instance.get_latest_materialization_event(asset)
    return event.asset_materialization if event else None


def _publish_some(instance: dg.DagsterInstance, pipeline: Pipeline, windows: list[datetime]) -> int:
    store = pipeline.store
    with seen_by_sensor(store, windows) as shown:
        if shown.windows:
            outcome = read_windows(store, shown)
            publish_windows(instance.report_runless_asset_event, outcome, pipeline.rules.version)
    return len(shown.windows)


def _publish_broken(instance: dg.DagsterInstance, pipeline: Pipeline) -> None:
    with pipeline.store.transaction() as connection:
        if take_letter_changes(connection):
            publish_broken(instance.report_runless_asset_event, broken_now(connection))


def _failing(instance: dg.DagsterInstance, failed: Collection[datetime]) -> list[dg.RunRequest]:
    """Runs in which windows that hold a dead batch show FAILED, where Dagster shows another state:
    the batch died outside of Dagster, or a run that read the window before published last. The runs
    have no run key: the next tick finds them under way, or the windows failed."""
    if not failed:
        return []
    add_windows(instance, failed)
    keys = {partition_key(window): window for window in failed}
    shown = instance.get_status_by_partition(ENRICHED_EVENTS, list(keys), WINDOWS) or {}
    seen = {key for key, status in shown.items() if status and status.value in _SEEN}
    unseen = [window for key, window in keys.items() if key not in seen]
    return [
        dg.RunRequest(job_name=ENRICHMENT_JOB, tags={LAUNCHED_BY_SENSOR: "true", **range_tags(few)})
        for few in stretches(unseen, places(instance), MAX_WINDOWS)[-_MOST_FAILING:]
    ]
