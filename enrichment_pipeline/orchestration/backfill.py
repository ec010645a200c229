"""Backfills from the command line: runs of the enrichment job in this process, recorded in
Dagster's instance like every run, so that the windows turn green there.

Which windows have failed is found by `store.dead_letters.summary`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import dagster as dg

from enrichment_pipeline.orchestration.assets import EnrichmentConfig
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.partitions import (
    add_windows,
    partition_key,
    places,
    range_tags,
    stretches,
)
from enrichment_pipeline.orchestration.planning import MAX_WINDOWS
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.settings import Settings

LAUNCHED_BY_COMMAND = "enrichment/launched_by_command"
"""Tag of the runs of `enrichment-pipeline backfill`."""

# The events of the run are in the instance; only the command prints to the console.
_SILENT = {"console": {"config": {"log_level": "CRITICAL"}}}


@dataclass
class BackfillReport:
    """What a backfill did."""

    windows: list[datetime] = field(default_factory=list)
    """Windows that are finished."""
    failed: dict[datetime, str] = field(default_factory=dict)
    """Windows that failed, and the run in which they did."""
    changed_events: int = 0
    """Events that re-enriching has changed."""


def backfill(
    settings: Settings,
    windows: Sequence[datetime],
    dagster_home: Path,
    *,
    re_enrich: bool,
    on_progress: Callable[[BackfillReport], None],
) -> BackfillReport:
    """Reprocess these windows; neighbours share one run."""
    report = BackfillReport()
    job = build_definitions(settings).resolve_job_def(ENRICHMENT_JOB)
    config = EnrichmentConfig(re_enrich=re_enrich)
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        add_windows(instance, windows)
        for stretch in stretches(windows, places(instance), MAX_WINDOWS):
            result = job.execute_in_process(
                instance=instance,
                run_config=dg.RunConfig(
                    ops={ENRICHED_EVENTS.to_python_identifier(): config}, loggers=_SILENT
                ),
                tags={LAUNCHED_BY_COMMAND: "true", **range_tags(stretch)},
                raise_on_error=False,
            )
            _add(report, result, stretch)
            on_progress(report)
    return report


def _add(
    report: BackfillReport, result: dg.ExecuteInProcessResult, windows: Sequence[datetime]
) -> None:
    finished = {
        event.partition: event.step_materialization_data.materialization.metadata
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
        and event.asset_key == ENRICHED_EVENTS
    }
    for window in windows:
        metadata = finished.get(partition_key(window))
        if metadata is None:
            report.failed[window] = result.run_id
            continue
        report.windows.append(window)
        if changed := metadata.get("re_enriched"):
            report.changed_events += int(str(changed.value))
