"""The assets, run by a real Dagster instance on a real PostgreSQL."""

from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import attempts, writing
from enrichment_pipeline.enrichment.deriving import Derived
from enrichment_pipeline.orchestration import resources
from enrichment_pipeline.orchestration.keys import DEAD_LETTER, ENRICHED_EVENTS, RAW_EVENTS
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.orchestration.sweep import SWEEP_OP, enrichment_sweep
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import OF_A_TICK, START, die
from enrichment_pipeline_tests.poison import RAISES, poisoned

pytestmark = pytest.mark.usefixtures("windows_of_a_day")

KEYS = ["2026-03-01-00:00", "2026-03-01-01:00", "2026-03-01-02:00"]


def run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    first: str = KEYS[0],
    last: str = KEYS[-1],
    *,
    by_sensor: bool = True,
) -> dg.ExecuteInProcessResult:
    tags = {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }
    if by_sensor:
        tags |= OF_A_TICK
    job = definitions.resolve_job_def(ENRICHMENT_JOB)
    return job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def materializations(
    result: dg.ExecuteInProcessResult, asset: dg.AssetKey
) -> dict[str | None, dict[str, Any]]:
    return {
        event.partition: {
            name: getattr(value, "value", None) for name, value in found.metadata.items()
        }
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION
        and (found := event.step_materialization_data.materialization).asset_key == asset
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def failed(instance: dg.DagsterInstance, definitions: dg.Definitions) -> set[str]:
    asset = definitions.resolve_asset_graph().get(ENRICHED_EVENTS)
    statuses = instance.get_status_by_partition(ENRICHED_EVENTS, KEYS, asset.partitions_def)
    assert statuses is not None
    return {key for key, status in statuses.items() if status and status.name == "FAILED"}


def make_rules_fail(monkeypatch: pytest.MonkeyPatch, rules: Rules) -> None:
    monkeypatch.setattr(resources, "load_rules", lambda _: poisoned(rules, poison=RAISES))


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST_WAIT", timedelta(milliseconds=1))


@pytest.mark.slow
def test_a_range_of_windows_is_enriched_and_shown_with_what_a_person_wants_to_see(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    load_events(store, [*raw_events(5, START), *raw_events(7, START + HOUR)], [], "test")
    result = run(definitions, instance)
    assert result.success
    raw = materializations(result, RAW_EVENTS)
    enriched = materializations(result, ENRICHED_EVENTS)
    assert sorted(raw) == sorted(enriched) == KEYS
    assert [raw[key] for key in KEYS] == [{"accepted": 5}, {"accepted": 7}, {"accepted": 0}]
    shown = enriched[KEYS[1]]
    assert (shown["accepted"], shown["enriched"], shown["dead"], shown["pending"]) == (7, 7, 0, 0)
    counts = enriched[KEYS[0]]
    assert {"by_type_and_action", "preview", "run_seconds", "run_events_per_second"} <= set(counts)
    assert str(shown["events_over_the_window"]).startswith("![events per minute")
    assert "by_type_and_action" not in enriched[KEYS[2]]
    for asset in (RAW_EVENTS, ENRICHED_EVENTS):
        newest = instance.get_latest_materialization_event(asset)
        assert newest is not None
        assert newest.asset_materialization is not None
        assert newest.asset_materialization.partition == KEYS[1], "what the overview shows"
    assert materializations(result, DEAD_LETTER)[None]["dead_letters"] == 0
    assert checks(result) == {"books_balance": True, "few_unknown": True, "nothing_is_dead": True}


@pytest.mark.slow
def test_what_another_publishes_meanwhile_is_not_taken_for_what_the_checks_are_about(
    store: Store,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_events(store, [*raw_events(5, START), *raw_events(7, START + HOUR)], [], "test")
    said: list[str] = []
    handle = instance.handle_new_event

    def handled(entry: dg.EventLogEntry, **options: object) -> None:
        handle(entry, **options)  # type: ignore[arg-type]
        said.append(entry.user_message)
        event = entry.dagster_event
        if event and event.is_step_materialization and entry.run_id and event.step_key:
            # As a sensor does, for other windows.
            assert event.asset_key
            partition = KEYS[0] if event.partition else None
            instance.report_runless_asset_event(
                dg.AssetMaterialization(event.asset_key, partition=partition)
            )

    monkeypatch.setattr(instance, "handle_new_event", handled)
    result = run(definitions, instance)
    assert checks(result) == {"books_balance": True, "few_unknown": True, "nothing_is_dead": True}
    assert not [line for line in said if "mismatch" in line]
    assert any("Materialized value" in line for line in said), "the log is read"


@pytest.mark.slow
def test_one_partition_is_done_by_the_same_asset(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    load_events(store, raw_events(5, START), [], "test")
    job = definitions.resolve_job_def(ENRICHMENT_JOB)
    result = job.execute_in_process(instance=instance, partition_key=KEYS[0])
    assert materializations(result, ENRICHED_EVENTS)[KEYS[0]]["enriched"] == 5


@pytest.mark.slow
def test_books_that_do_not_balance_make_the_check_fail(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    load_events(store, raw_events(5, START), [], "test")
    run(definitions, instance)
    with store.transaction() as connection:
        connection.execute(
            text("DELETE FROM enriched_event WHERE uuid = (SELECT uuid FROM raw_event LIMIT 1)")
        )
    assert checks(run(definitions, instance))["books_balance"] is False


@pytest.mark.slow
def test_too_many_unknown_events_make_the_check_warn(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    load_events(store, raw_events(5, START, event="$never_seen"), [], "test")
    assert checks(run(definitions, instance))["few_unknown"] is False


@pytest.mark.slow
def test_a_batch_that_fails_once_is_tried_again_within_the_run(
    store: Store,
    rules: Rules,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_events(store, raw_events(5, START), [], "test")
    failures = iter([True, True])
    derive_missing = writing.derive_missing

    def fails_twice(*given: Any) -> Derived:
        if next(failures, False):
            raise ZeroDivisionError
        return derive_missing(*given)

    monkeypatch.setattr(writing, "derive_missing", fails_twice)
    result = run(definitions, instance)
    assert result.success
    assert materializations(result, ENRICHED_EVENTS)[KEYS[0]]["enriched"] == 5
    with store.transaction() as connection:
        assert connection.execute(text("SELECT attempts FROM raw_batch")).scalar_one() == 1


@pytest.mark.slow
def test_a_window_with_a_dead_batch_is_failed_its_neighbours_green_and_a_person_heals_it(
    store: Store,
    rules: Rules,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_events(store, raw_events(5, START), [], "test")
    load_events(store, raw_events(5, START + HOUR, event="poison"), [], "test")
    with monkeypatch.context() as failing:
        make_rules_fail(failing, rules)
        result = run(definitions, instance)
    assert not result.success
    assert checks(result) == {"books_balance": True, "few_unknown": True}, "no event is lost"
    assert materializations(result, ENRICHED_EVENTS) == {}, "the asset has failed in this run"
    assert instance.get_materialized_partitions(ENRICHED_EVENTS) == {KEYS[0], KEYS[2]}
    assert failed(instance, definitions) == {KEYS[1]}

    again = run(definitions, instance, KEYS[1], KEYS[1])
    assert not again.success, "a run of the sensor leaves dead batches alone"

    by_hand = run(definitions, instance, KEYS[1], KEYS[1], by_sensor=False)
    assert by_hand.success
    assert materializations(by_hand, ENRICHED_EVENTS)[KEYS[1]]["enriched"] == 5
    assert failed(instance, definitions) == set()
    assert checks(by_hand)["nothing_is_dead"] is True


@pytest.mark.slow
def test_the_dead_letter_asset_says_what_is_broken_and_how_to_mend_it(
    store: Store,
    rules: Rules,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_events(store, raw_events(5, START, event="poison"), [], "test")
    make_rules_fail(monkeypatch, rules)
    run(definitions, instance)
    asset = definitions.resolve_assets_def(DEAD_LETTER)
    result = dg.materialize([asset], instance=instance)
    shown = materializations(result, DEAD_LETTER)[None]
    assert (shown["dead_letters"], shown["dead_events"], shown["failed_windows"]) == (1, 5, 1)
    assert {"by_reason", "letters_by_reason", "windows", "how_to_fix_windows"} <= set(shown)
    assert checks(result) == {"nothing_is_dead": False}


@pytest.mark.slow
def test_a_sweep_shows_each_of_its_windows_and_leaves_failed_ones_to_a_run_of_their_own(
    store: Store,
    rules: Rules,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load_events(store, raw_events(5, START), [], "test")
    load_events(store, raw_events(5, START + 2 * HOUR, event="poison"), [], "test")
    make_rules_fail(monkeypatch, rules)
    monkeypatch.setattr(attempts, "FIRST_WAIT", timedelta(minutes=1))
    result = definitions.resolve_job_def(enrichment_sweep.name).execute_in_process(
        instance=instance,
        run_config={"ops": {SWEEP_OP: {"config": {"windows": [KEYS[0], KEYS[2]]}}}},
    )
    assert result.success
    assert list(materializations(result, ENRICHED_EVENTS)) == [KEYS[0]]
    assert list(materializations(result, RAW_EVENTS)) == [KEYS[0]]
    assert set(checks(result)) == {"books_balance", "few_unknown"}
    with store.transaction() as connection:
        pending = connection.execute(
            text("SELECT attempts FROM raw_batch WHERE state = 'pending'")
        ).scalar_one()
    assert pending == 1


@pytest.mark.slow
def test_a_sweep_that_a_person_starts_takes_dead_batches_in(
    store: Store, rules: Rules, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    load_events(store, raw_events(5, START, event="bad"), [], "test")
    die(store, rules)
    job = definitions.resolve_job_def(enrichment_sweep.name)
    config = {"ops": {SWEEP_OP: {"config": {"windows": [KEYS[0]]}}}}
    of_a_tick = job.execute_in_process(instance=instance, run_config=config, tags=OF_A_TICK)
    assert materializations(of_a_tick, ENRICHED_EVENTS) == {}
    of_a_person = job.execute_in_process(instance=instance, run_config=config)
    assert materializations(of_a_person, ENRICHED_EVENTS)[KEYS[0]]["enriched"] == 5


@pytest.mark.slow
def test_runs_over_several_windows_log_no_mismatch_of_versions(
    store: Store, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    load_events(store, [*raw_events(5, START), *raw_events(7, START + HOUR)], [], "test")
    for first in (KEYS[0], KEYS[1], KEYS[0]):
        result = run(definitions, instance, first)
        assert result.success
        said = [record.user_message for record in instance.all_logs(result.run_id)]
        assert not [line for line in said if "mismatch" in line]
