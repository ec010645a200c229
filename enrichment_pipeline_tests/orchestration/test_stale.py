"""What was enriched under other rules is stale for Dagster, and fresh once it is enriched again."""

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.orchestration import dead_letter_worker
from enrichment_pipeline.orchestration.assets import EnrichmentConfig
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import DEAD_LETTER, ENRICHED_EVENTS
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.orchestration.sweep import SWEEP_OP, SweepConfig
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, mark_for_replay
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import raw_events
from enrichment_pipeline_tests.orchestration.conftest import START, Ticks, die

KEYS = ("2026-03-01-00:00", "2026-03-01-05:00")


def resolver(
    definitions: dg.Definitions, instance: dg.DagsterInstance
) -> CachingStaleStatusResolver:
    return CachingStaleStatusResolver(
        instance, definitions.get_repository_def().asset_graph, LoadingContextForTest(instance)
    )


def statuses(definitions: dg.Definitions, instance: dg.DagsterInstance) -> list[StaleStatus]:
    asked = resolver(definitions, instance)
    return [asked.get_status(ENRICHED_EVENTS, key) for key in KEYS]


def by_partition(
    definitions: dg.Definitions, instance: dg.DagsterInstance, re_enrich: bool = False
) -> None:
    for key in KEYS:
        result = definitions.resolve_job_def(ENRICHMENT_JOB).execute_in_process(
            instance=instance,
            partition_key=key,
            run_config=dg.RunConfig(ops={"enriched_events": EnrichmentConfig(re_enrich=re_enrich)}),
        )
        assert result.success


def by_sweep(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    result = definitions.resolve_job_def("enrichment_sweep").execute_in_process(
        instance=instance,
        run_config=dg.RunConfig(ops={SWEEP_OP: SweepConfig(windows=list(KEYS))}),
    )
    assert result.success


def by_sensor(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    with opened_store(load_settings()) as store:
        enrich_due(store, load_rules())
    Ticks(definitions, instance).tick()


@pytest.mark.slow
def test_dead_letters_are_never_out_of_date(
    store: Store, rules: Rules, definitions: dg.Definitions, ticks: Ticks
) -> None:
    def status() -> StaleStatus:
        return resolver(definitions, ticks.instance).get_status(DEAD_LETTER)

    def enrich(hour: int) -> None:
        load_events(store, raw_events(2, START + timedelta(hours=hour)), [], "test")
        enrich_due(store, rules)
        ticks.tick()

    load_events(store, raw_events(2, START, event="bad"), [], "test")
    die(store, rules)
    enrich(1)
    assert status() is StaleStatus.FRESH, "published without a run, and a window has failed"
    [failing] = ticks.failing()
    ticks.run(failing)
    by_run = definitions.resolve_job_def(ENRICHMENT_JOB).execute_in_process(
        instance=ticks.instance, partition_key="2026-03-01-01:00"
    )
    assert by_run.success
    assert status() is StaleStatus.FRESH
    enrich(2)
    enrich(1)
    assert status() is StaleStatus.FRESH
    with store.transaction() as connection:
        mark_for_replay(connection, LetterFilter())
    # As a replay in Dagster does.
    replayed = dead_letter_worker.defs().resolve_job_def("replay_dead_letters")
    assert replayed.execute_in_process(instance=ticks.instance).success
    enrich(1)
    assert status() is StaleStatus.FRESH


@pytest.mark.usefixtures("windows_of_a_day")
@pytest.mark.parametrize("run", [by_partition, by_sweep, by_sensor])
@pytest.mark.slow
def test_windows_are_stale_under_other_rules_until_they_are_enriched_again(
    store: Store,
    settings: Settings,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: object,
) -> None:
    for hour in (0, 5):
        load_events(store, raw_events(2, START + timedelta(hours=hour)), [], "test")
    before = build_definitions(settings)
    assert callable(run)
    run(before, instance)
    assert statuses(before, instance) == [StaleStatus.FRESH] * 2
    file = tmp_path / "rules.yaml"
    file.write_text("events:\n  $pageview: {event_type: pageview, action_type: navigate}\n")
    monkeypatch.setenv("ENRICHMENT_RULES_FILE", str(file))
    after = build_definitions(settings.model_copy(update={"rules_file": file}))
    assert statuses(after, instance) == [StaleStatus.STALE] * 2
    by_partition(after, instance, re_enrich=True)
    assert statuses(after, instance) == [StaleStatus.FRESH] * 2
