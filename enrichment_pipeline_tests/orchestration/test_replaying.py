"""The dead-letter worker: its job and its sensors, run by a real Dagster instance."""

from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.orchestration.dead_letter_worker import defs
from enrichment_pipeline.orchestration.keys import DEAD_LETTER
from enrichment_pipeline.orchestration.replaying import (
    REPLAY_OP,
    WORKER_TAG,
    marked_letters,
    replay_dead_letters,
    transient_letters,
)
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, mark_for_replay
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import START
from enrichment_pipeline_tests.poison import IS_BAD, poisoned


def states(store: Store) -> list[Any]:
    with store.transaction() as connection:
        return list(
            connection.execute(
                text("SELECT event, state, worker FROM dead_letter ORDER BY id")
            ).all()
        )


@pytest.fixture
def letters(store: Store, rules: Rules) -> None:
    """Three dead events: two of the first window, one of the second."""
    load_events(store, [*raw_events(2, START, event="a"), *raw_events(9, START)], [], "test")
    load_events(store, raw_events(1, START + HOUR, event="b"), [], "test")
    enrich_due(store, poisoned(rules, a=IS_BAD, b=IS_BAD), worker="somebody")


def replay(instance: dg.DagsterInstance, **config: object) -> dg.ExecuteInProcessResult:
    job = defs().resolve_job_def(replay_dead_letters.name)
    return job.execute_in_process(
        instance=instance, run_config={"ops": {REPLAY_OP: {"config": config}}}
    )


@pytest.mark.slow
def test_a_replay_from_the_launchpad_takes_the_letters_that_it_names(
    store: Store, letters: None, instance: dg.DagsterInstance
) -> None:
    assert replay(instance, dry_run=True, everything=True).success
    replay(instance)
    assert [state for _, state, _ in states(store)] == ["open"] * 3
    result = replay(instance, first_window="2026-03-01-01:00", last_window="2026-03-01-01:00")
    assert [state for _, state, _ in states(store)] == ["open", "open", "resolved"]
    [materialized] = [
        event.step_materialization_data.materialization
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
    ]
    assert materialized.asset_key == DEAD_LETTER
    assert materialized.metadata["replayed_events"].value == 1
    assert materialized.metadata["dead_letters"].value == 2
    replay(instance, everything=True)
    assert [state for _, state, _ in states(store)] == ["resolved"] * 3


def evaluate(
    sensor: dg.SensorDefinition, instance: dg.DagsterInstance
) -> dg.RunRequest | dg.SkipReason:
    with dg.build_sensor_context(instance=instance, resources={"pipeline": Pipeline()}) as context:
        found = sensor(context)
    assert isinstance(found, dg.RunRequest | dg.SkipReason)
    return found


def test_a_replay_is_launched_for_marked_letters_and_one_at_a_time(
    store: Store, letters: None, instance: dg.DagsterInstance
) -> None:
    assert isinstance(evaluate(marked_letters, instance), dg.SkipReason)
    with store.transaction() as connection:
        mark_for_replay(connection, LetterFilter(event="b"))
    assert isinstance(evaluate(marked_letters, instance), dg.RunRequest)
    run = instance.create_run_for_job(replay_dead_letters)
    instance.report_run_failed(run)
    assert isinstance(evaluate(marked_letters, instance), dg.RunRequest)
    instance.create_run_for_job(replay_dead_letters)
    assert isinstance(evaluate(marked_letters, instance), dg.SkipReason)


def test_only_letters_with_a_transient_reason_are_replayed_by_themselves(
    store: Store, letters: None, instance: dg.DagsterInstance
) -> None:
    with store.transaction() as connection:
        connection.execute(
            text("UPDATE dead_letter SET last_failed_at = now() - interval '1 hour'")
        )
    assert isinstance(evaluate(transient_letters, instance), dg.SkipReason)
    with store.transaction() as connection:
        connection.execute(
            text("UPDATE dead_letter SET reason_code = 'enrichment_timed_out' WHERE event = 'b'")
        )
    assert isinstance(evaluate(transient_letters, instance), dg.RunRequest)
    assert [state for _, state, _ in states(store)] == ["open", "open", "replaying"]
    assert transient_letters.default_status is dg.DefaultSensorStatus.STOPPED


def test_the_worker_has_no_asset_and_one_run_at_a_time() -> None:
    assert list(defs().assets or []) == []
    assert replay_dead_letters.tags[WORKER_TAG] == "dead_letter"


@pytest.mark.slow
def test_a_letter_names_the_run_that_failed_with_it_last(
    store: Store, letters: None, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from enrichment_pipeline.classification import load_rules
    from enrichment_pipeline.orchestration import resources

    monkeypatch.setattr(resources, "load_rules", lambda _: poisoned(load_rules(), a=IS_BAD))
    assert {worker for _, _, worker in states(store)} == {"somebody"}
    run_id = replay(instance, everything=True).run_id
    assert states(store) == [
        ("a", "open", f"run {run_id}"),
        ("a", "open", f"run {run_id}"),
        ("b", "resolved", "somebody"),
    ]
