"""Pulling for Dagster: what `raw_events` does where a source is set, and how it is reported.

Pulling itself belongs to `ingest.pull`, its times to `pull_schedule`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from enrichment_pipeline.ingest.pull.errors import (
    PullError,
    PullRefusedError,
    PullThrottledError,
)
from enrichment_pipeline.ingest.pull.pull import PullReport, pull
from enrichment_pipeline.orchestration.metadata import (
    accepted_metadata,
    folder_metadata,
    pulled_metadata,
)
from enrichment_pipeline.orchestration.partitions import partition_key, remove_windows
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import ProgressLog, is_scheduled
from enrichment_pipeline.orchestration.windows import Metadata
from enrichment_pipeline.store.windows.books import WindowBooks, books
from enrichment_pipeline.wording import counted


def pull_for_run(
    context: dg.AssetExecutionContext,
    pipeline: Pipeline,
    windows: Sequence[datetime],
    report: PullReport,
) -> None:
    """Pull for these windows, adding to `report`, and log what a person should know of it.

    Raises:
        PullError: as `ingest.pull.pull`; what was pulled before is in `report`.
    """
    # A run by hand reads windows again; a retry of it skips those that the run has read.
    again_before = None if is_scheduled(context.instance, context.run) else _created_at(context)
    progress = ProgressLog(context.log)
    try:
        pull(
            pipeline.store,
            pipeline.settings,
            windows,
            again_before=again_before,
            report=report,
            # Not what is being pulled: a file may be named after a person.
            on_progress=lambda *_: progress(
                f"pulled {counted(report.summary.accepted, 'event')} so far"
            ),
        )
    finally:
        _log(context, report)


def _log(context: dg.AssetExecutionContext, report: PullReport) -> None:
    for line in report.folder.broken:
        context.log.warning(line)
    for what in [*report.folder.busy, *map(partition_key, report.busy)]:
        context.log.warning(f"another pull is at work on {what}: it was left to that")
    for line in report.difference_lines():
        context.log.warning(line)
    summary = report.summary
    context.log.info(
        f"pulled {counted(summary.accepted, 'event')}, {summary.duplicates:,} known already, "
        f"{summary.quarantined.total():,} quarantined"
    )


def _created_at(context: dg.AssetExecutionContext) -> datetime:
    record = context.instance.get_run_record_by_id(context.run.run_id)
    return record.create_timestamp if record else datetime.now(UTC)


def unpulled(error: PullError) -> Exception:
    """What to raise for a failed pull, by what helps: a person, a longer wait, or a retry."""
    if isinstance(error, PullRefusedError | PullThrottledError):
        return dg.Failure(str(error), allow_retries=False)
    return error


def raw_metadata(
    pipeline: Pipeline, windows: Sequence[datetime], report: PullReport | None
) -> dict[datetime, Metadata]:
    """What to show of these windows: what has arrived and, after a pull, what was pulled."""
    with pipeline.store.transaction() as connection:
        found = {row.window_start: row for row in books(connection, windows)}
    shown = {
        window: accepted_metadata(found.get(window, WindowBooks(window, 0, 0, 0, 0)))
        for window in windows
    }
    if report is None:
        return shown
    for window in shown.keys() & report.windows.keys():
        shown[window] |= pulled_metadata(report.windows[window])
    if pipeline.settings.pull_folder and shown:
        # Files belong to no particular window: the newest one shows them.
        shown[max(shown)] |= folder_metadata(report.folder)
    return shown


def remove_empty(
    instance: dg.DagsterInstance, pipeline: Pipeline, windows: Sequence[datetime]
) -> None:
    """Remove the partitions of those windows for which PostHog has nothing."""
    with pipeline.store.transaction() as connection:
        found = {row.window_start for row in books(connection, windows)}
    remove_windows(instance, set(windows) - found)
