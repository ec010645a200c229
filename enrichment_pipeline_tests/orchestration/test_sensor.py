"""The sensor, the maintenance job and the definitions as Dagster loads them."""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import yaml
from sqlalchemy import text

import enrichment_pipeline
from enrichment_pipeline.orchestration import sensors
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import DEAD_LETTER, ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.runs import LAUNCHED_BY_SENSOR
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.orchestration.sweep import SWEEP_OP, enrichment_sweep
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.books import books
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import START, Ticks

PROJECT = Path(str(enrichment_pipeline.__file__)).parents[1]
RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@pytest.mark.usefixtures("windows_of_a_day")
def test_windows_side_by_side_are_requested_as_a_range_and_scattered_ones_as_a_sweep(
    store: Store, ticks: Ticks
) -> None:
    for hour in (0, 1, 2, 10, 20):
        load_events(store, raw_events(1, START + hour * HOUR), [], "test")
    stretch, sweep = ticks.asked("due_windows")
    assert stretch.job_name == ENRICHMENT_JOB
    assert [stretch.tags[name] for name in RANGE] == ["2026-03-01-00:00", "2026-03-01-02:00"]
    assert sweep.job_name == enrichment_sweep.name
    windows = sweep.run_config["ops"][SWEEP_OP]["config"]["windows"]
    assert windows == ["2026-03-01-10:00", "2026-03-01-20:00"]
    assert stretch.tags[LAUNCHED_BY_SENSOR] == sweep.tags[LAUNCHED_BY_SENSOR] == "true"
    # Dagster's list of runs shows no more of which windows they are about.
    assert stretch.tags["windows"] == "2026-03-01-00:00 +2"
    assert sweep.tags["windows"] == "2026-03-01-10:00 +1"


@pytest.mark.usefixtures("windows_of_a_day")
@pytest.mark.slow
def test_windows_that_a_run_is_at_work_on_are_not_requested_again(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance, ticks: Ticks
) -> None:
    for hour in (0, 1, 10, 20):
        load_events(store, raw_events(1, START + hour * HOUR), [], "test")
    for request in ticks.asked("due_windows"):
        instance.create_run_for_job(
            definitions.resolve_job_def(str(request.job_name)),
            run_config=request.run_config,
            tags=request.tags,
            status=dg.DagsterRunStatus.STARTED,
        )
    assert ticks.asked("due_windows") == []
    load_events(store, raw_events(1, START + 30 * HOUR), [], "test")
    assert len(ticks.asked("due_windows")) == 1


@pytest.mark.slow
def test_a_run_that_has_said_nothing_for_long_is_taken_for_gone(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance, ticks: Ticks
) -> None:
    load_events(store, raw_events(1, START), [], "test")
    [request] = ticks.asked("due_windows")
    run = instance.create_run_for_job(
        definitions.resolve_job_def(str(request.job_name)),
        tags=request.tags,
        status=dg.DagsterRunStatus.STARTED,
    )
    assert instance.get_run_by_id(run.run_id) is not None
    age_runs(instance, HOUR)
    instance.event_log_storage.delete_events(run.run_id)
    assert len(ticks.asked("due_windows")) == 1


def age_runs(instance: dg.DagsterInstance, age: timedelta) -> None:
    """Let all runs have been updated so long ago; Dagster has no way to say it."""
    moment = (datetime.now(UTC) - age).replace(tzinfo=None)
    with instance.run_storage.connect() as connection:
        connection.execute(text("UPDATE runs SET update_timestamp = :at"), {"at": moment})


@pytest.mark.parametrize("sensor", ["due_windows", "changed_windows"])
def test_on_an_empty_store_a_sensor_says_why_it_does_nothing(
    store: Store, ticks: Ticks, sensor: str
) -> None:
    found = ticks.tick(sensor)
    assert isinstance(found, dg.SkipReason)
    assert found.skip_message in {"nothing is due", "nothing changed"}


@pytest.mark.parametrize("sensor", ["due_windows", "changed_windows"])
def test_a_cursor_that_somebody_set_to_something_else_does_no_harm(
    store: Store, ticks: Ticks, sensor: str
) -> None:
    assert isinstance(ticks.tick(sensor, cursor="something else"), dg.SkipReason)


@pytest.mark.slow
def test_a_partition_is_made_for_a_window_that_is_due(store: Store, ticks: Ticks) -> None:
    load_events(store, raw_events(1, START - 100_000 * HOUR), [], "test")
    [request] = ticks.asked("due_windows")
    assert ticks.run(request).success
    assert ticks.instance.get_dynamic_partitions("windows") == ["2014-10-03-08:00"]


def test_the_sensor_runs_by_default_and_as_often_as_the_settings_say(
    definitions: dg.Definitions,
) -> None:
    sensor = definitions.resolve_sensor_def("due_windows")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 30


def test_the_assets_follow_one_another(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert graph.get(ENRICHED_EVENTS).parent_keys == {RAW_EVENTS}
    assert graph.get(DEAD_LETTER).parent_keys == {ENRICHED_EVENTS}


def test_the_maintenance_job_runs_and_drops_nothing_unless_asked_to(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    load_events(store, raw_events(1, START), [], "test")
    assert definitions.resolve_job_def("maintenance").execute_in_process(instance=instance).success
    with store.transaction() as connection:
        assert [window.accepted for window in books(connection)] == [1]


def test_a_tick_that_waits_launches_what_comes_due_meanwhile(
    store: Store, settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def an_event_comes_after_the_second_look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            load_events(store, raw_events(1, START), [], "test")

    monkeypatch.setattr(sensors.time, "sleep", an_event_comes_after_the_second_look)
    waiting = settings.model_copy(update={"sensor_waits": True})
    [request] = Ticks(build_definitions(waiting), instance).asked("due_windows")
    assert request.tags["windows"] == "2026-03-01-00:00"
    assert len(looks) == 2


@pytest.mark.slow
def test_a_tick_that_waits_lets_the_next_run_rest_after_a_long_one(
    store: Store, settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = settings.model_copy(update={"sensor_waits": True, "sensor_seconds": 1})
    ticks = Ticks(build_definitions(waiting), instance)
    load_events(store, raw_events(1, START), [], "test")
    [request] = ticks.asked("due_windows")
    assert ticks.run(request).success
    load_events(store, raw_events(1, START + HOUR), [], "test")
    monkeypatch.setattr(sensors, "rest_after", lambda took, longest: 1_000)
    assert "took long" in str(ticks.tick("due_windows"))
    monkeypatch.setattr(sensors, "rest_after", lambda took, longest: 0)
    assert ticks.asked("due_windows")


def test_a_tick_does_not_wait_longer_than_dagster_lets_it(
    store: Store, settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors.time, "sleep", lambda _: pytest.fail("it waits"))
    rare = settings.model_copy(update={"sensor_waits": True, "sensor_seconds": 3600})
    assert not Ticks(build_definitions(rare), instance).asked("due_windows")


def test_the_code_location_has_one_name_everywhere() -> None:
    workspace = yaml.safe_load((PROJECT / "workspace.yaml").read_text())
    project = tomllib.loads((PROJECT / "dg.toml").read_text())["project"]
    module = workspace["load_from"][0]["python_module"]
    assert module["location_name"] == project["code_location_name"] == "enrichment_pipeline"
