"""The sensor that keeps `dead_letter` true: it refreshes the asset when something fails or heals,
and shows the windows that were healed elsewhere (by a replay, by a worker) as materialized.

What is broken belongs to `store.dead_letters`.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from enrichment_pipeline.orchestration.assets import DEAD_LETTER, ENRICHED_EVENTS
from enrichment_pipeline.orchestration.metadata import books_metadata
from enrichment_pipeline.orchestration.partitions import partition_key
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.store.books import WindowBooks, books
from enrichment_pipeline.store.dead_letters import fingerprint, healed_windows

DEAD_LETTER_JOB = "what_is_broken"

# A letter that was closed in a transaction which committed after the last look.
_OVERLAP = timedelta(minutes=5)


def build_broken_sensor(seconds: int) -> dg.SensorDefinition:
    """The sensor, which ticks every so many seconds."""
    job = dg.define_asset_job(
        DEAD_LETTER_JOB,
        selection=dg.AssetSelection.assets(DEAD_LETTER),
        description="Looks at what is broken now.",
    )

    @dg.sensor(
        name="broken_windows",
        job=job,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Refreshes `dead_letter` when something fails or heals.",
    )
    def broken_windows(
        context: dg.SensorEvaluationContext, pipeline: Pipeline
    ) -> dg.SensorResult | dg.SkipReason:
        looked_at = datetime.now(UTC)
        before = json.loads(context.cursor) if context.cursor else {}
        since = datetime.fromisoformat(before.get("looked_at", looked_at.isoformat()))
        with pipeline.store.transaction() as connection:
            now = fingerprint(connection)
            if now == before.get("fingerprint"):
                return dg.SkipReason("nothing has failed or healed since the last look")
            healed = books(connection, healed_windows(connection, since - _OVERLAP))
        cursor = json.dumps({"fingerprint": now, "looked_at": looked_at.isoformat()})
        return dg.SensorResult(
            run_requests=[dg.RunRequest(f"{now}:{looked_at:%Y-%m-%dT%H:%M:%S}")],
            asset_events=_materializations(healed),
            cursor=cursor,
        )

    return broken_windows


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
