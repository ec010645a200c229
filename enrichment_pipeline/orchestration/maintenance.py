"""The maintenance job: partitions ahead, retention, and Dagster's own run history; with its
schedule."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from enrichment_pipeline.orchestration.assets import ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.store.retention import (
    drop_days_before,
    first_days_kept,
    make_partitions_ahead,
)

_ENDED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]

_RUNS_AT_ONCE = 500


@dg.op
def make_partitions(pipeline: Pipeline) -> None:
    """Make PostgreSQL's partitions of the next days."""
    with pipeline.store.transaction() as connection:
        make_partitions_ahead(connection, datetime.now(UTC).date())


@dg.op
def drop_old_days(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Drop the days that are past retention, but none on which anything is left to do."""
    first_kept = first_days_kept(pipeline.settings, datetime.now(UTC).date())
    if first_kept is None:
        context.log.info("no ENRICHMENT_RETENTION_DAYS is set: nothing is dropped")
        return
    report = drop_days_before(pipeline.store, first_kept)
    for day, reason in report.refused.items():
        context.log.warning(f"{day} is past retention and was kept: {reason}")
    context.log.info(
        f"dropped {len(report.dropped)} days of raw events, {len(report.dropped_enriched)} more of "
        f"enriched ones and {report.letters} closed letters; kept {len(report.refused)} days"
    )


@dg.op
def trim_run_history(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Delete ended runs that are past their time, which open-source Dagster never does."""
    before = datetime.now(UTC) - timedelta(days=pipeline.settings.run_history_days)
    deleted = delete_runs_before(context.instance, before)
    context.log.info(f"deleted {deleted} runs that ended before {before:%Y-%m-%d}")


def delete_runs_before(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete the runs that ended before then; returns how many.

    A run that made the latest materialization of a partition stays: with the run Dagster would
    delete the materialization, and the partition would be missing.
    """
    latest = {
        storage_id
        for asset in (RAW_EVENTS, ENRICHED_EVENTS)
        for storage_id in instance.get_latest_storage_id_by_partition(
            asset, dg.DagsterEventType.ASSET_MATERIALIZATION
        ).values()
    }
    superfluous = [
        run_id for run_id in _ended_before(instance, before) if not _holds(instance, run_id, latest)
    ]
    for run_id in superfluous:
        instance.delete_run(run_id)
    return len(superfluous)


def _ended_before(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    ended = dg.RunsFilter(statuses=_ENDED, updated_before=before)
    cursor: str | None = None
    while runs := instance.get_runs(ended, cursor=cursor, limit=_RUNS_AT_ONCE):
        yield from (run.run_id for run in runs)
        cursor = runs[-1].run_id


def _holds(instance: dg.DagsterInstance, run_id: str, latest: set[int]) -> bool:
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    return any(record.storage_id in latest for record in records)


@dg.job(description="Partitions ahead, retention, and Dagster's run history.")
def maintenance() -> None:
    """Each op by itself: one that fails does not keep the others from their work."""
    make_partitions()
    drop_old_days()
    trim_run_history()


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_daily",
    job=maintenance,
    cron_schedule="15 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
