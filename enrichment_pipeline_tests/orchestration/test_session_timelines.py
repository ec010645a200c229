"""The asset `session_timelines` and its sensor, in a real instance of Dagster."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.orchestration.assets import LAUNCHED_BY_SENSOR
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.session_timelines import SESSION_TIMELINES, SESSIONS_JOB
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline_tests.llm.telling import take_in, told, visit
from enrichment_pipeline_tests.orchestration.conftest import START

NOON = START + timedelta(hours=12)


def tick(
    definitions: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult:
    sensor = definitions.resolve_sensor_def("due_sessions")
    with dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        repository_def=definitions.get_repository_def(),
        resources={"pipeline": Pipeline()},
    ) as context:
        found = sensor.evaluate_tick(context)
        return dg.SensorResult(run_requests=found.run_requests, cursor=found.cursor)


def run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, day: str, by_sensor: bool = False
) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(SESSIONS_JOB).execute_in_process(
        instance=instance,
        partition_key=day,
        tags={LAUNCHED_BY_SENSOR: "true"} if by_sensor else {},
    )


def metadata_of(instance: dg.DagsterInstance, day: str) -> dict[str, object]:
    event = instance.get_latest_materialization_event(SESSION_TIMELINES)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.partition == day
    return {name: held.value for name, held in event.asset_materialization.metadata.items()}


def test_a_day_shows_its_sessions_and_an_example(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    take_in(store, rules, visit("one", NOON, "/", "/a", "/", "/a") + visit("two", NOON, "/"))
    assert run(definitions, instance, "2026-03-01").success
    shown = metadata_of(instance, "2026-03-01")
    assert shown["sessions_told"] == 2
    assert "back_and_forth" in str(shown["signals"])
    assert "view /a" in str(shown["example"])
    assert set(told(store)) == {"one", "two"}


def test_the_sensor_asks_for_the_days_that_events_have_come_to_until_they_are_told(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    take_in(store, rules, visit("one", NOON, "/"))
    take_in(store, rules, visit("two", NOON + timedelta(days=3), "/"))
    first = tick(definitions, instance)
    assert [request.partition_key for request in first.run_requests or []] == [
        "2026-03-04",
        "2026-03-01",
    ]
    # Runs that never came to be, or failed: nothing was finished since, and both are still due.
    again = tick(definitions, instance, first.cursor)
    assert len(again.run_requests or []) == 2
    for day in ("2026-03-04", "2026-03-01"):
        assert run(definitions, instance, day, by_sensor=True).success
    assert not tick(definitions, instance, again.cursor).run_requests


def test_a_day_that_is_being_told_is_not_asked_for_again(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    take_in(store, rules, visit("one", NOON, "/"))
    job = definitions.resolve_job_def(SESSIONS_JOB)
    instance.create_run_for_job(
        job,
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "2026-03-01", LAUNCHED_BY_SENSOR: "true"},
    )
    assert not tick(definitions, instance).run_requests


def test_events_of_a_day_that_is_no_partition_wait(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    take_in(store, rules, visit("one", START - timedelta(days=2), "/"))
    assert not tick(definitions, instance).run_requests


def test_a_backfill_of_several_days_is_one_run(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    take_in(store, rules, visit("one", NOON, "/") + visit("two", NOON + timedelta(days=1), "/"))
    result = definitions.resolve_job_def(SESSIONS_JOB).execute_in_process(
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": "2026-03-01",
            "dagster/asset_partition_range_end": "2026-03-02",
        },
    )
    assert result.success
    assert set(told(store)) == {"one", "two"}
    partitions = instance.get_materialized_partitions(SESSION_TIMELINES)
    assert partitions == {"2026-03-01", "2026-03-02"}


def test_today_is_a_partition(definitions: dg.Definitions) -> None:
    partitions = definitions.resolve_assets_def(SESSION_TIMELINES).partitions_def
    assert partitions is not None
    assert f"{datetime.now(UTC):%Y-%m-%d}" in partitions.get_partition_keys()
