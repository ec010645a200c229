"""What workers finish is told to Dagster: the sensor that finds it, and the run that tells it."""

import json
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.orchestration.assets import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.partitions import RANGE_START
from enrichment_pipeline.orchestration.reconciling import enrichment_reconcile
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.books import books
from enrichment_pipeline.store.claims import reopen_dead
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import START
from enrichment_pipeline_tests.orchestration.test_broken_sensor import die


class Reconciler:
    """Ticks of the sensor with its cursor, and the runs that it asks for."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._definitions = definitions
        self._instance = instance
        self.cursor: str | None = None

    def tick(self, name: str = "finished_windows") -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            instance=self._instance,
            cursor=self.cursor,
            repository_def=self._definitions.get_repository_def(),
            resources={"pipeline": Pipeline()},
        ) as context:
            found = self._definitions.resolve_sensor_def(name).evaluate_tick(context)
        self.cursor = found.cursor
        return list(found.run_requests or [])

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        job = self._definitions.resolve_job_def(str(request.job_name))
        return job.execute_in_process(
            instance=self._instance,
            run_config=request.run_config,
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def shown(self) -> dict[str, Any]:
        """The newest metadata of each partition that is materialized."""
        found = self._instance.fetch_materializations(ENRICHED_EVENTS, limit=100).records
        return {
            str(record.partition_key): record.asset_materialization.metadata  # type: ignore[union-attr]
            for record in reversed(found)
        }


@pytest.fixture
def scaled(settings: Settings) -> dg.Definitions:
    broker = settings.model_validate({**settings.model_dump(), "broker_url": "amqp://nowhere"})
    return build_definitions(broker, START)


@pytest.fixture
def reconciler(scaled: dg.Definitions, instance: dg.DagsterInstance) -> Reconciler:
    return Reconciler(scaled, instance)


def test_windows_that_workers_finished_are_told_once(
    store: Store, rules: Rules, reconciler: Reconciler
) -> None:
    assert reconciler.tick() == []
    for hour in (0, 5):
        load_events(store, raw_events(3, START + hour * HOUR), [], "test")
    assert reconciler.tick() == []
    enrich_due(store, rules)
    [request] = reconciler.tick()
    assert request.job_name == enrichment_reconcile.name
    assert reconciler.run(request).success
    shown = reconciler.shown()
    assert sorted(shown) == ["2026-03-01-00:00", "2026-03-01-05:00"]
    assert shown["2026-03-01-05:00"]["enriched"].value == 3
    assert reconciler.tick() == []


def test_a_window_is_told_again_when_more_is_finished_in_it(
    store: Store, rules: Rules, reconciler: Reconciler
) -> None:
    for count in (3, 4):
        load_events(store, raw_events(count, START), [], "test")
        enrich_due(store, rules)
        [request] = reconciler.tick()
        reconciler.run(request)
    assert reconciler.shown()["2026-03-01-00:00"]["enriched"].value == 7


def test_a_window_whose_run_came_to_nothing_is_told_by_the_next(
    store: Store, rules: Rules, reconciler: Reconciler
) -> None:
    load_events(store, raw_events(3, START), [], "test")
    enrich_due(store, rules)
    [first] = reconciler.tick()
    [second] = reconciler.tick()
    assert first.run_config == second.run_config
    assert first.run_key != second.run_key


def test_the_open_window_is_told_as_its_batches_have_it(
    store: Store, rules: Rules, reconciler: Reconciler
) -> None:
    load_events(store, raw_events(2, datetime.now(UTC).replace(second=0)), [], "test")
    enrich_due(store, rules)
    [request] = reconciler.tick()
    result = reconciler.run(request)
    [metadata] = reconciler.shown().values()
    assert metadata["enriched"].value == 2
    assert "first_events" not in metadata
    assert result.success


def test_the_run_enriches_nothing(store: Store, rules: Rules, reconciler: Reconciler) -> None:
    load_events(store, raw_events(3, START), [], "test")
    enrich_due(store, rules)
    load_events(store, raw_events(4, START), [], "test")
    [request] = reconciler.tick()
    reconciler.run(request)
    with store.transaction() as connection:
        [window] = books(connection)
    assert (window.enriched, window.pending) == (3, 4)


def test_a_failed_window_is_not_told_until_its_dead_batch_is_healed(
    store: Store, rules: Rules, reconciler: Reconciler
) -> None:
    load_events(store, raw_events(3, START, event="bad"), [], "test")
    die(store, rules)
    assert reconciler.tick() == []
    load_events(store, raw_events(2, START), [], "test")
    enrich_due(store, rules)
    assert reconciler.tick() == []
    with store.transaction() as connection:
        reopen_dead(connection, [START])
    enrich_due(store, rules)
    [healed] = reconciler.tick()
    reconciler.run(healed)
    assert reconciler.shown()["2026-03-01-00:00"]["enriched"].value == 5


def test_the_cursor_of_an_older_version_is_understood(
    store: Store, rules: Rules, reconciler: Reconciler
) -> None:
    load_events(store, raw_events(3, START), [], "test")
    enrich_due(store, rules)
    reconciler.cursor = json.dumps({"looked_at": START.isoformat(), "untold": [], "failed": {}})
    assert len(reconciler.tick()) == 1


def test_a_window_that_has_not_begun_is_told_once_it_has(
    store: Store, rules: Rules, reconciler: Reconciler
) -> None:
    load_events(store, raw_events(2, datetime.now(UTC) + 2 * HOUR), [], "test")
    with store.transaction() as connection:
        connection.execute(text("UPDATE raw_batch SET due_at = now()"))
    enrich_due(store, rules)
    assert reconciler.tick() == []
    assert json.loads(str(reconciler.cursor))["untold"]


def test_what_was_finished_before_the_first_tick_is_told(
    store: Store, rules: Rules, reconciler: Reconciler
) -> None:
    load_events(store, raw_events(3, START), [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        connection.execute(text("UPDATE raw_batch SET finished_at = now() - interval '9 days'"))
    assert len(reconciler.tick()) == 1


@pytest.mark.parametrize("sensor", ["finished_windows", "due_sessions"])
def test_what_is_due_is_found_while_runs_are_at_work_that_enrich_nothing(
    store: Store,
    rules: Rules,
    scaled: dg.Definitions,
    reconciler: Reconciler,
    instance: dg.DagsterInstance,
    sensor: str,
) -> None:
    load_events(store, raw_events(3, START), [], "test")
    enrich_due(store, rules)
    [request] = reconciler.tick(sensor)
    [job, *_] = scaled.resolve_sensor_def(sensor).jobs
    partition = {"dagster/partition": request.partition_key} if request.partition_key else {}
    instance.create_run_for_job(
        scaled.resolve_job_def(job.name),
        run_config=request.run_config,
        tags={**request.tags, **partition},
        status=dg.DagsterRunStatus.STARTED,
    )
    load_events(store, raw_events(3, START), [], "test")
    with store.transaction() as connection:
        connection.execute(text("UPDATE raw_batch SET due_at = now() - interval '31 seconds'"))
    requests = reconciler.tick("due_windows")
    assert "2026-03-01-00:00" in {request.tags.get(RANGE_START) for request in requests}


def test_what_is_due_is_left_to_the_workers_until_the_grace_time_is_over(
    store: Store, reconciler: Reconciler
) -> None:
    with store.transaction() as connection:
        connection.execute(
            text("INSERT INTO store_setting VALUES ('covered_start', :s), ('covered_end', :e)"),
            {"s": START.isoformat(), "e": datetime.now(UTC).isoformat()},
        )
    load_events(store, raw_events(3, START), [], "test")
    assert reconciler.tick("due_windows") == []
    with store.transaction() as connection:
        connection.execute(text("UPDATE raw_batch SET due_at = now() - interval '31 seconds'"))
    assert len(reconciler.tick("due_windows")) == 1


def test_without_a_broker_there_is_no_such_sensor(definitions: dg.Definitions) -> None:
    assert "finished_windows" not in {sensor.name for sensor in definitions.sensors or []}
