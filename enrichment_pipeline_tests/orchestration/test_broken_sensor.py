"""`dead_letter` is true by itself: the sensor that looks at what fails and heals."""

import dagster as dg
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.replay import replay_marked
from enrichment_pipeline.orchestration.assets import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.broken_sensor import DEAD_LETTER_JOB
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.letters import LetterFilter, mark_for_replay
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import START
from enrichment_pipeline_tests.poison import RAISES, poisoned


class Ticks:
    """Ticks of the sensor, one after the other, with its cursor."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._sensor = definitions.resolve_sensor_def("broken_windows")
        self._instance = instance
        self._cursor: str | None = None

    def tick(self) -> dg.SensorResult | dg.SkipReason:
        with dg.build_sensor_context(
            instance=self._instance, cursor=self._cursor, resources={"pipeline": Pipeline()}
        ) as context:
            found = self._sensor(context)
        if isinstance(found, dg.SensorResult):
            self._cursor = found.cursor
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        return found


def die(store: Store, rules: Rules) -> None:
    for _ in range(4):
        enrich_due(store, poisoned(rules, bad=RAISES))
        with store.transaction() as connection:
            connection.execute(text("UPDATE raw_batch SET due_at = now() WHERE state = 'pending'"))


def test_the_asset_is_refreshed_when_something_fails_or_heals_and_not_otherwise(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    ticks = Ticks(definitions, instance)
    assert isinstance(ticks.tick(), dg.SensorResult)
    assert isinstance(ticks.tick(), dg.SkipReason)
    load_events(store, raw_events(3, START, event="bad"), [], "test")
    load_events(store, raw_events(3, START + HOUR, event="bad"), [], "test")
    die(store, rules)
    failed = ticks.tick()
    assert isinstance(failed, dg.SensorResult)
    assert len(failed.run_requests or []) == 1
    assert not failed.asset_events
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


def test_what_is_broken_is_looked_at_by_a_run_of_its_own(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    job = definitions.resolve_job_def(DEAD_LETTER_JOB)
    assert job.execute_in_process(instance=instance).success
