"""The maintenance job: partitions ahead, retention, and Dagster's run history."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.orchestration import maintenance
from enrichment_pipeline.orchestration.partitions import (
    WINDOWS,
    add_days,
    add_windows,
    partition_key,
)
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.partitions import partition_days
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, discard
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import raw_events
from enrichment_pipeline_tests.orchestration.conftest import START, Ticks
from enrichment_pipeline_tests.orchestration.test_sensor import age_runs

DAY = timedelta(days=1)
KEY = "2026-03-01-00:00"

Run = Callable[[], dg.ExecuteInProcessResult]


@pytest.fixture
def run(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Run:
    """Runs the job."""
    job = definitions.resolve_job_def("maintenance")
    return lambda: job.execute_in_process(instance=instance, raise_on_error=False)


@pytest.fixture
def today() -> datetime:
    """The beginning of this day."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def days(store: Store) -> list[Any]:
    with store.transaction() as connection:
        return partition_days(connection, "raw_event")


def windows(store: Store) -> list[datetime]:
    with store.transaction() as connection:
        statement = text("SELECT window_start FROM raw_batch ORDER BY 1")
        return list(connection.execute(statement).scalars())


def test_partitions_are_made_before_their_days_begin(
    store: Store, run: Run, today: datetime
) -> None:
    assert run().success
    assert days(store) == [(today + ahead * DAY).date() for ahead in range(4)]


def test_without_a_retention_nothing_is_dropped_however_old(
    store: Store, rules: Rules, run: Run, today: datetime
) -> None:
    load_events(store, raw_events(1, today - 200 * DAY), [], "test")
    enrich_due(store, rules)
    assert run().success
    assert windows(store) == [today - 200 * DAY]


@pytest.mark.slow
def test_days_past_retention_go_and_a_day_on_which_something_is_left_to_do_stays(
    store: Store,
    rules: Rules,
    run: Run,
    today: datetime,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for age in (12, 10, 9):
        load_events(store, raw_events(1, today - age * DAY), [], "test")
    enrich_due(store, rules)
    load_events(store, raw_events(1, today - 11 * DAY), [], "test")
    add_windows(instance, windows(store))
    add_days(instance, [(today - age * DAY).date() for age in (12, 10, 9)])
    monkeypatch.setenv("ENRICHMENT_RETENTION_DAYS", "9")
    assert run().success
    assert windows(store) == [today - 11 * DAY, today - 9 * DAY]
    shown = instance.get_dynamic_partitions("windows")
    assert shown == [partition_key(today - age * DAY) for age in (11, 9)]
    assert instance.get_dynamic_partitions("session_days") == [(today - 9 * DAY).date().isoformat()]


@pytest.mark.slow
def test_windows_that_retention_has_dropped_are_no_partitions_again(
    store: Store,
    rules: Rules,
    run: Run,
    today: datetime,
    ticks: Ticks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, kept = today - 12 * DAY, today - 9 * DAY
    rejected = RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"x", old)
    load_events(store, raw_events(1, old), [rejected], "test")
    load_events(store, raw_events(1, kept), [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        discard(connection, LetterFilter(), "not needed")
    monkeypatch.setenv("ENRICHMENT_RETENTION_DAYS", "9")
    assert run().success
    ticks.tick()
    assert windows(store) == [kept]
    assert ticks.instance.get_dynamic_partitions("windows") == [partition_key(kept)]
    assert list(ticks.shown()) == [partition_key(kept)]


@pytest.mark.slow
def test_runs_past_their_time_are_trimmed_as_the_settings_say(
    store: Store,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = definitions.resolve_job_def("maintenance")
    for status in (
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.CANCELED,
        dg.DagsterRunStatus.STARTED,
    ):
        instance.create_run_for_job(job, status=status)
    age_runs(instance, 8 * DAY)
    assert run().success
    assert len(instance.get_runs()) == 5, "30 days by default"
    monkeypatch.setenv("ENRICHMENT_RUN_HISTORY_DAYS", "7")
    assert run().success
    left = Counter(run.status for run in instance.get_runs())
    # The job's own two runs, and the one that has not ended.
    assert left == {dg.DagsterRunStatus.SUCCESS: 2, dg.DagsterRunStatus.STARTED: 1}


@pytest.mark.slow
def test_more_runs_than_are_asked_for_at_once_are_trimmed_and_each_looked_at(
    store: Store,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maintenance, "_RUNS_AT_ONCE", 2)
    add_windows(instance, [START])
    job = definitions.resolve_job_def(ENRICHMENT_JOB)
    kept = job.execute_in_process(instance=instance, partition_key=KEY).run_id
    trimming = definitions.resolve_job_def("maintenance")
    for _ in range(6):
        instance.create_run_for_job(trimming, status=dg.DagsterRunStatus.FAILURE)
    age_runs(instance, 40 * DAY)
    maintain = trimming.execute_in_process(instance=instance)
    assert {run.run_id for run in instance.get_runs()} == {kept, maintain.run_id}


@pytest.mark.slow
def test_the_runs_of_the_latest_materialization_of_every_asset_stay_and_of_the_latest_checks(
    definitions: dg.Definitions, instance: dg.DagsterInstance, run: Run
) -> None:
    assets = list(definitions.assets or ())
    assert {key for one in assets for key in one.keys} == {
        dg.AssetKey(name)
        for name in ("raw_events", "enriched_events", "dead_letter", "session_timelines")
    }
    add_windows(instance, [START])
    add_days(instance, [START.date()])
    latest: dict[dg.AssetKey, str] = {}
    for _ in range(2):
        for asset in assets:
            key = KEY if asset.partitions_def == WINDOWS else KEY[:10]
            made = dg.materialize(
                [asset],
                instance=instance,
                partition_key=key if asset.partitions_def else None,
                resources={"pipeline": Pipeline()},
            )
            latest[asset.key] = made.run_id
    age_runs(instance, 40 * DAY)
    assert run().success
    left = {one.run_id for one in instance.get_runs() if one.job_name != "maintenance"}
    assert left == set(latest.values())
    assert all(instance.get_latest_materialization_event(key) for key in latest)
    checks = [key for asset in assets for key in asset.check_keys]
    assert len(checks) == 3
    assert all(instance.get_latest_asset_check_evaluation_record(key) for key in checks)


def test_an_op_that_fails_does_not_keep_the_others_from_their_work(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(maintenance, "make_partitions_ahead", full_disk)
    result = run()
    assert not result.success
    outcomes = {
        step: result.is_node_success(step)
        for step in ("make_partitions", "drop_old_days", "trim_run_history")
    }
    assert outcomes == {"make_partitions": False, "drop_old_days": True, "trim_run_history": True}
