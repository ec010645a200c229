"""The sensor that keeps true what is shown of failures: it refreshes `dead_letter` when something
fails or heals, shows the windows that were healed elsewhere (by a replay, by a worker) as
materialized, and lets every window that holds a dead batch show FAILED.

What is broken belongs to `store.dead_letters`.
"""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from enrichment_pipeline.orchestration.assets import (
    DEAD_LETTER,
    ENRICHED_EVENTS,
    LAUNCHED_BY_SENSOR,
)
from enrichment_pipeline.orchestration.metadata import books_metadata
from enrichment_pipeline.orchestration.partitions import partition_key, range_tags
from enrichment_pipeline.orchestration.planning import stretches
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB, Job, windows_under_way
from enrichment_pipeline.store.books import WindowBooks, books
from enrichment_pipeline.store.dead_letters import failed_windows, fingerprint, healed_windows

DEAD_LETTER_JOB = "what_is_broken"

# A letter that was closed in a transaction which committed after the last look.
_OVERLAP = timedelta(minutes=5)

_MOST_RUNS = 20
"""Launched by one tick; the others by the next ones."""

# Dagster's own enumeration of these is not public.
_SEEN = ("FAILED", "IN_PROGRESS")


def build_broken_sensor(
    partitions: dg.TimeWindowPartitionsDefinition, enrichment: Job, seconds: int
) -> dg.SensorDefinition:
    """The sensor over these partitions, which ticks every so many seconds; `enrichment` is the job
    that enriches a stretch of windows."""
    job = dg.define_asset_job(
        DEAD_LETTER_JOB,
        selection=dg.AssetSelection.assets(DEAD_LETTER),
        description="Looks at what is broken now.",
    )

    @dg.sensor(
        name="broken_windows",
        jobs=[job, enrichment],
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes `dead_letter` when something fails or heals, and lets the windows "
        "that hold a dead batch show FAILED.",
    )
    def broken_windows(
        context: dg.SensorEvaluationContext, pipeline: Pipeline
    ) -> dg.SensorResult | dg.SkipReason:
        looked_at = datetime.now(UTC)
        before = json.loads(context.cursor) if context.cursor else {}
        since = datetime.fromisoformat(before.get("looked_at", looked_at.isoformat()))
        with pipeline.store.transaction() as connection:
            now = fingerprint(connection)
            failed = failed_windows(connection)
            is_news = now != before.get("fingerprint")
            healed: list[WindowBooks] = []
            if is_news:
                healed = books(connection, healed_windows(connection, since - _OVERLAP))
        unseen = _not_shown(context.instance, partitions, failed)
        requests = [_fail(few) for few in stretches(unseen, pipeline.store.window)[-_MOST_RUNS:]]
        cursor = context.cursor
        if is_news:
            key = f"{now}:{looked_at:%Y-%m-%dT%H:%M:%S}"
            requests.append(dg.RunRequest(key, job_name=DEAD_LETTER_JOB))
            cursor = json.dumps({"fingerprint": now, "looked_at": looked_at.isoformat()})
        if not requests:
            return dg.SkipReason("nothing has failed or healed since the last look")
        return dg.SensorResult(
            run_requests=requests, asset_events=_materializations(healed), cursor=cursor
        )

    return broken_windows


def _not_shown(
    instance: dg.DagsterInstance,
    partitions: dg.TimeWindowPartitionsDefinition,
    failed: Collection[datetime],
) -> list[datetime]:
    """Those of these windows that no run is at work on, and that Dagster does not show as failed:
    they failed where Dagster was not, or a run that had looked before said last that all is well.
    """
    if not failed:
        return []
    known = set(partitions.get_partition_keys())
    # Dagster's status does not tell of runs that are queued.
    candidates = sorted(set(failed).difference(windows_under_way(instance, partitions)))
    keys = {partition_key(window): window for window in candidates}
    keys = {key: window for key, window in keys.items() if key in known}
    shown = instance.get_status_by_partition(ENRICHED_EVENTS, list(keys), partitions) or {}
    seen = {key for key, status in shown.items() if status and status.value in _SEEN}
    return [window for key, window in keys.items() if key not in seen]


def _fail(windows: Sequence[datetime]) -> dg.RunRequest:
    """A partitioned run, in which windows that hold a dead batch show FAILED. It has no key: the
    next tick finds it at work, or these windows failed."""
    return dg.RunRequest(
        job_name=ENRICHMENT_JOB,
        tags={LAUNCHED_BY_SENSOR: "true", **range_tags(windows)},
    )


def _materializations(
    healed: Sequence[WindowBooks],
) -> "list[dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation]":
    return [
        dg.AssetMaterialization(
            ENRICHED_EVENTS,
            partition=partition_key(window.window_start),
            metadata=books_metadata(window),
        )
        for window in healed
    ]
