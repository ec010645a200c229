"""The asset `session_timelines`, in a real instance of Dagster."""

from datetime import date, timedelta

import dagster as dg
import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.orchestration.keys import SESSION_TIMELINES
from enrichment_pipeline.orchestration.partitions import add_days
from enrichment_pipeline.orchestration.session_timelines import SESSIONS_JOB
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.llm.stored_sessions import sessions_of, take_in, visit
from enrichment_pipeline_tests.orchestration.conftest import START, Ticks

NOON = START + timedelta(hours=12)


def run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, day: str
) -> dg.ExecuteInProcessResult:
    add_days(instance, [date.fromisoformat(day)])
    return definitions.resolve_job_def(SESSIONS_JOB).execute_in_process(
        instance=instance,
        partition_key=day,
    )


def metadata_of(instance: dg.DagsterInstance, day: str) -> dict[str, object]:
    event = instance.get_latest_materialization_event(SESSION_TIMELINES)
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.partition == day
    return {name: held.value for name, held in event.asset_materialization.metadata.items()}


@pytest.mark.slow
def test_a_day_shows_its_sessions_and_an_example(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    take_in(store, rules, visit("one", NOON, "/", "/a", "/", "/a") + visit("two", NOON, "/"))
    assert run(definitions, instance, "2026-03-01").success
    shown = metadata_of(instance, "2026-03-01")
    assert (shown["sessions"], shown["events"], shown["sessions_built_now"]) == (2, 5, 2)
    assert "back_and_forth" in str(shown["signals"])
    assert "view /a" in str(shown["example"])
    assert set(sessions_of(store)) == {"one", "two"}


@pytest.mark.slow
def test_the_figures_are_of_the_day_where_one_session_of_it_is_built(
    store: Store, rules: Rules, ticks: Ticks
) -> None:
    later = NOON + timedelta(hours=1)
    for visits in (visit("one", NOON, "/", "/a", "/", "/a"), visit("two", later, "/")):
        take_in(store, rules, visits)
        [request] = ticks.asked(job=SESSIONS_JOB)
        assert ticks.run(request).success
    shown = metadata_of(ticks.instance, "2026-03-01")
    assert (shown["sessions"], shown["events"], shown["sessions_built_now"]) == (2, 5, 1)
    assert "back_and_forth" in str(shown["signals"])


@pytest.mark.slow
def test_an_example_is_no_wider_than_its_column(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    take_in(store, rules, visit("one", NOON, *(f"/{letter * 40}" for letter in "abcdefghij")))
    assert run(definitions, instance, "2026-03-01").success
    event = instance.get_latest_materialization_event(SESSION_TIMELINES)
    assert event is not None
    assert event.asset_materialization is not None
    example = event.asset_materialization.metadata["example"]
    # A table breaks its lines, a block of text does not, and pushes all off the page.
    assert isinstance(example, dg.TableMetadataValue)
    assert len(example.records) > 9


@pytest.mark.slow
def test_a_backfill_of_several_days_is_one_run(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    take_in(store, rules, visit("one", NOON, "/") + visit("two", NOON + timedelta(days=1), "/"))
    add_days(instance, [NOON.date(), NOON.date() + timedelta(days=1)])
    result = definitions.resolve_job_def(SESSIONS_JOB).execute_in_process(
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": "2026-03-01",
            "dagster/asset_partition_range_end": "2026-03-02",
        },
    )
    assert result.success
    assert set(sessions_of(store)) == {"one", "two"}
    partitions = instance.get_materialized_partitions(SESSION_TIMELINES)
    assert partitions == {"2026-03-01", "2026-03-02"}
