"""Runs while the store is away: short outages are ridden out, long ones leave all as it was."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.orchestration import assets, windows
from enrichment_pipeline.orchestration.assets import RETRY_OUTAGES
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.sensors import ENRICHMENT_JOB
from enrichment_pipeline.orchestration.sweep import sweep
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import raw_events
from enrichment_pipeline_tests.orchestration.conftest import START
from enrichment_pipeline_tests.outage import begin_outage, end_outage

pytestmark = pytest.mark.usefixtures("windows_of_a_day")

KEY = "2026-03-01-00:00"


@pytest.fixture
def run(
    settings: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dg.ExecuteInProcessResult]:
    """Runs the window of the events, with the policy of the assets but for its waiting."""
    at_once = dg.RetryPolicy(max_retries=RETRY_OUTAGES.max_retries, delay=0)
    monkeypatch.setattr(assets, "RETRY_OUTAGES", at_once)
    job = build_definitions(settings).resolve_job_def(ENRICHMENT_JOB)
    return lambda: job.execute_in_process(
        instance=instance, partition_key=KEY, raise_on_error=False
    )


@pytest.fixture
def outage_of_calls(
    store: Store, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], None]:
    """Lets the store be away for so many calls of the enrichment."""

    def begin(calls: int) -> None:
        called = 0

        def enrich_in_outage(*arguments: Any, **named: Any) -> Any:
            nonlocal called
            called += 1
            if called == 1:
                begin_outage(server, store)
            if called == calls + 1:
                end_outage(server, store)
            return enrich_due(*arguments, **named)

        monkeypatch.setattr(windows, "enrich_due", enrich_in_outage)

    return begin


def batches(store: Store) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text("SELECT state, attempts FROM raw_batch")).all())


@pytest.mark.slow
def test_an_outage_that_ends_in_time_is_ridden_out_within_the_run(
    store: Store,
    run: Callable[[], dg.ExecuteInProcessResult],
    outage_of_calls: Callable[[int], None],
) -> None:
    load_events(store, raw_events(5, START), [], "test")
    outage_of_calls(RETRY_OUTAGES.max_retries)
    assert run().success
    assert batches(store) == [("enriched", 0)]


@pytest.mark.slow
def test_a_longer_outage_fails_the_run_and_spends_no_attempt(
    store: Store,
    server: EmbeddedPostgres,
    instance: dg.DagsterInstance,
    run: Callable[[], dg.ExecuteInProcessResult],
    outage_of_calls: Callable[[int], None],
) -> None:
    load_events(store, raw_events(5, START), [], "test")
    outage_of_calls(RETRY_OUTAGES.max_retries + 1)
    result = run()
    assert not result.success
    end_outage(server, store)
    assert instance.get_materialized_partitions(ENRICHED_EVENTS) == set()
    assert batches(store) == [("pending", 0)]
    assert run().success
    assert batches(store) == [("enriched", 0)]


def test_the_policy_tries_three_times_again_ever_later_and_not_all_at_once(
    settings: Settings,
) -> None:
    policy = RETRY_OUTAGES
    assert policy.max_retries == 3
    assert policy.backoff is dg.Backoff.EXPONENTIAL
    assert policy.jitter is dg.Jitter.PLUS_MINUS
    definitions = build_definitions(settings)
    ops = [*definitions.resolve_job_def(ENRICHMENT_JOB).all_node_defs, sweep]
    assert {op.retry_policy for op in ops} == {policy}
