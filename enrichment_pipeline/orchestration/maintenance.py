"""The maintenance job: partitions ahead, retention, and Dagster's own run history; with its
schedule."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from enrichment_pipeline.orchestration.partitions import DAYS, places, remove_windows
from enrichment_pipeline.orchestration.private_errors import keeps_errors_private
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.partitions import partition_days
from enrichment_pipeline.store.database.tables import enriched_event
from enrichment_pipeline.store.lifecycle.retention import (
    FirstKept,
    drop_days_before,
    first_days_kept,
    make_partitions_ahead,
)
from enrichment_pipeline.store.windows.books import books
from enrichment_pipeline.wording import counted

_ENDED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]

_RUNS_AT_ONCE = 500


@dg.op
@keeps_errors_private
def make_partitions(pipeline: Pipeline) -> None:
    """Make PostgreSQL's partitions of the next days."""
    with pipeline.store.transaction() as connection:
        make_partitions_ahead(connection, datetime.now(UTC).date())


@dg.op
@keeps_errors_private
def drop_old_days(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Drop the days that are past retention, but none on which anything is left to do."""
    first_kept = first_days_kept(pipeline.settings, datetime.now(UTC).date())
    if first_kept is None:
        context.log.info("no ENRICHMENT_RETENTION_DAYS is set: nothing is dropped")
        return
    report = drop_days_before(pipeline.store, first_kept)
    remove_dropped(context.instance, pipeline.store, first_kept)
    for day, reason in report.refused.items():
        context.log.warning(f"{day} is past retention and was kept: {reason}")
    context.log.info(
        f"dropped {counted(len(report.dropped), 'day')} of raw events, "
        f"{counted(len(report.dropped_enriched), 'day')} more of enriched ones and "
        f"{counted(report.letters, 'closed letter')}; kept {counted(len(report.refused), 'day')}"
    )


def remove_dropped(instance: dg.DagsterInstance, store: Store, first_kept: FirstKept) -> None:
    """Remove Dagster's partitions of windows and days that retention has dropped, now or in a run
    that was killed."""
    with store.transaction() as connection:
        windows = {row.window_start for row in books(connection)}
        days = {day.isoformat() for day in partition_days(connection, enriched_event.name)}
    remove_windows(
        instance,
        [one for one in places(instance) if one.date() < first_kept.raw and one not in windows],
    )
    for key in instance.get_dynamic_partitions(str(DAYS.name)):
        if date.fromisoformat(key) < first_kept.enriched and key not in days:
            instance.delete_dynamic_partition(str(DAYS.name), key)


def delete_runs_before(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetsDefinition], before: datetime
) -> int:
    """Delete the runs that ended before that moment; returns how many.

    A run that made the latest materialization of a partition or an asset, or the latest evaluation
    of a check, stays: Dagster would delete that with the run, and show that there was none.
    """
    latest = _latest_materializations(instance, [key for one in assets for key in one.keys])
    checked = _latest_checks(instance, [key for one in assets for key in one.check_keys])
    superfluous = [
        run_id
        for run_id in _ended_before(instance, before)
        if run_id not in checked and not _holds(instance, run_id, latest)
    ]
    for run_id in superfluous:
        instance.delete_run(run_id)
    return len(superfluous)


def _latest_materializations(instance: dg.DagsterInstance, keys: Sequence[dg.AssetKey]) -> set[int]:
    """The storage ids of the latest materializations, of each partition and of each asset."""
    of_partitions = {
        storage_id
        for key in keys
        for storage_id in instance.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION
        ).values()
    }
    # Given no keys, Dagster returns the records of all assets.
    found = instance.get_asset_records(keys) if keys else ()
    records = (record.asset_entry.last_materialization_record for record in found)
    return of_partitions | {record.storage_id for record in records if record}


def _latest_checks(instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey]) -> set[str]:
    """The runs that made the latest evaluations of the checks."""
    records = (instance.get_latest_asset_check_evaluation_record(key) for key in keys)
    return {record.run_id for record in records if record}


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


def build_maintenance(assets: Sequence[dg.AssetsDefinition]) -> dg.JobDefinition:
    """The maintenance job, for the code location of these assets."""

    @dg.op
    @keeps_errors_private
    def trim_run_history(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
        """Delete ended runs that are past their time, which open-source Dagster never does."""
        before = datetime.now(UTC) - timedelta(days=pipeline.settings.run_history_days)
        deleted = delete_runs_before(context.instance, assets, before)
        context.log.info(f"deleted {counted(deleted, 'run')} that ended before {before:%Y-%m-%d}")

    @dg.job(description="Partitions ahead, retention, and Dagster's run history.")
    def maintenance() -> None:
        """Run each op independently: one that fails does not stop the others."""
        make_partitions()
        drop_old_days()
        trim_run_history()

    return maintenance


def build_maintenance_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """The daily schedule of the job."""
    return dg.ScheduleDefinition(
        name="maintenance_daily",
        job=job,
        cron_schedule="15 2 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Makes PostgreSQL's partitions of the next days, drops days past retention and "
        "runs past their time.",
    )
