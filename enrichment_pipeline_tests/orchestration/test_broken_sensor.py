"""`dead_letter` is true by itself: the sensor that looks at what fails and heals."""

from datetime import datetime

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.replay import replay_marked
from enrichment_pipeline.orchestration.assets import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.broken_sensor import DEAD_LETTER_JOB
from enrichment_pipeline.orchestration.partitions import RANGE_END, RANGE_START, partition_key
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.letters import LetterFilter, mark_for_replay
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import START
from enrichment_pipeline_tests.poison import RAISES, poisoned


class Ticks:
    """Ticks of the sensor, one after the other, with its cursor, and the runs that it asks for."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._definitions = definitions
        self._instance = instance
        self._cursor: str | None = None

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources={"pipeline": Pipeline()}
        ) as context:
            found = self._definitions.resolve_sensor_def("broken_windows")(context)
        if isinstance(found, dg.SensorResult):
            self._cursor = found.cursor
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        return found

    def failing(self) -> list[dg.RunRequest]:
        """The runs of one more tick in which windows show FAILED."""
        found = self.tick()
        asked = found.run_requests or [] if isinstance(found, dg.SensorResult) else []
        return [request for request in asked if request.job_name == ENRICHMENT_JOB]

    def run(self, request: dg.RunRequest) -> None:
        job = self._definitions.resolve_job_def(ENRICHMENT_JOB)
        result = job.execute_in_process(
            instance=self._instance, tags=dict(request.tags), raise_on_error=False
        )
        assert not result.success

    def tell_finished(self, window: datetime) -> None:
        """What a run does that had looked at this window before."""
        self._instance.report_runless_asset_event(
            dg.AssetMaterialization(ENRICHED_EVENTS, partition=partition_key(window))
        )


@pytest.fixture
def ticks(definitions: dg.Definitions, instance: dg.DagsterInstance) -> Ticks:
    return Ticks(definitions, instance)


def die(store: Store, rules: Rules) -> None:
    for _ in range(4):
        enrich_due(store, poisoned(rules, bad=RAISES))
        with store.transaction() as connection:
            connection.execute(text("UPDATE raw_batch SET due_at = now() WHERE state = 'pending'"))


def test_the_asset_is_refreshed_when_something_fails_or_heals_and_not_otherwise(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    assert isinstance(ticks.tick(), dg.SensorResult)
    assert isinstance(ticks.tick(), dg.SkipReason)
    load_events(store, raw_events(3, START, event="bad"), [], "test")
    load_events(store, raw_events(3, START + HOUR, event="bad"), [], "test")
    die(store, rules)
    failed = ticks.tick()
    assert isinstance(failed, dg.SensorResult)
    fail, refresh = failed.run_requests or []
    assert (fail.job_name, refresh.job_name) == (ENRICHMENT_JOB, DEAD_LETTER_JOB)
    assert not failed.asset_events
    ticks.run(fail)
    assert isinstance(ticks.tick(), dg.SkipReason)

    with store.transaction() as connection:
        mark_for_replay(connection, LetterFilter(until=START + HOUR))
    replay_marked(store, rules, "test", 1e9)
    healed = ticks.tick()
    assert isinstance(healed, dg.SensorResult)
    [shown] = healed.asset_events
    assert isinstance(shown, dg.AssetMaterialization)
    assert (shown.asset_key, shown.partition) == (ENRICHED_EVENTS, "2026-03-01-00:00")
    assert shown.metadata["enriched"].value == 3
    assert isinstance(ticks.tick(), dg.SkipReason)


def test_neighbours_that_hold_a_dead_batch_show_failed_by_one_run(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    for hour in (0, 1, 5):
        load_events(store, raw_events(3, START + hour * HOUR, event="bad"), [], "test")
    die(store, rules)
    requests = ticks.failing()
    assert [(request.tags[RANGE_START], request.tags[RANGE_END]) for request in requests] == [
        ("2026-03-01-00:00", "2026-03-01-01:00"),
        ("2026-03-01-05:00", "2026-03-01-05:00"),
    ]
    for request in requests:
        ticks.run(request)
    assert ticks.failing() == []


def test_a_failed_window_that_a_run_tells_as_finished_too_late_shows_failed_again(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    load_events(store, raw_events(3, START, event="bad"), [], "test")
    die(store, rules)
    [first] = ticks.failing()
    ticks.run(first)
    ticks.tell_finished(START)
    [again] = ticks.failing()
    assert again.run_key is None
    ticks.run(again)
    assert ticks.failing() == []


@pytest.mark.parametrize("status", ["NOT_STARTED", "STARTING", "STARTED"])
def test_a_window_that_a_run_waits_for_or_is_at_work_on_is_left_to_it(
    status: str,
    store: Store,
    rules: Rules,
    ticks: Ticks,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
) -> None:
    load_events(store, raw_events(3, START, event="bad"), [], "test")
    die(store, rules)
    [request] = ticks.failing()
    instance.create_run_for_job(
        definitions.resolve_job_def(ENRICHMENT_JOB),
        tags=dict(request.tags),
        status=dg.DagsterRunStatus(status),
        asset_selection=frozenset([ENRICHED_EVENTS]),
    )
    assert ticks.failing() == []


def test_a_failed_window_outside_the_partitions_is_no_run(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    load_events(store, raw_events(3, START - HOUR, event="bad"), [], "test")
    die(store, rules)
    assert ticks.failing() == []


def test_what_is_broken_is_looked_at_by_a_run_of_its_own(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    job = definitions.resolve_job_def(DEAD_LETTER_JOB)
    assert job.execute_in_process(instance=instance).success
