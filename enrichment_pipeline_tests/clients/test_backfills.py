"""Backfills from the UI: large ones, and the code server killed meanwhile. With real processes."""

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psutil
import pytest

from enrichment_pipeline.classification import load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.orchestration.forked_runs import is_run
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.orchestration.partitions import WINDOWS, add_windows, partition_key
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import opened_store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.clients.pipeline import Pipeline, wait_until
from enrichment_pipeline_tests.clients.test_dagster_ui import _BACKFILL
from enrichment_pipeline_tests.conftest import HOUR, raw_events

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
COUNT = int(os.environ.get("ENRICHMENT_TEST_BACKFILL", "120"))
"""Of windows. `docs/explanation/architecture.md` has figures of 10,000."""

# Undisturbed it is but a figure; the other case tests more.
KILLED = [True] if COUNT <= 120 else [False, True]


def code_servers(pipeline: Pipeline) -> list[psutil.Process]:
    return [
        process
        for process in pipeline.process.children(recursive=True)
        if "code-server" in process.cmdline()
        and "enrichment_pipeline.orchestration.definitions" in process.cmdline()
    ]


def is_forked(pipeline: Pipeline) -> bool:
    """Whether a run under way was forked."""
    [server] = code_servers(pipeline)
    return any(
        "multiprocessing.forkserver" in " ".join(parent.cmdline())
        for process in server.children(recursive=True)
        if is_run(process) and (parent := process.parent())
    )


@pytest.mark.parametrize("is_killed", KILLED, ids=str)
def test_a_large_backfill_ends_green_though_the_code_server_is_killed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_killed: bool
) -> None:
    pipeline = Pipeline(tmp_path)
    monkeypatch.setenv("ENRICHMENT_HOME", str(tmp_path))
    windows = [FIRST + number * HOUR for number in range(COUNT)]
    keys = [partition_key(window) for window in windows]
    # All is enriched and built before: what is measured is the backfill.
    with opened_store(Settings(home=tmp_path)) as store:
        events = [event for window in windows for event in raw_events(1, window)]
        load_events(store, events, [], "test")
        enrich_due(store, load_rules())
        for day in {window.date() for window in windows}:
            build_day(store, day, is_whole=True)
    with (
        pipeline.running(),
        dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance,
    ):
        add_windows(instance, windows)
        began = time.monotonic()
        pipeline.ask(_BACKFILL, partitions=keys)

        def runs() -> list[dg.DagsterRun]:
            return [run for run in instance.get_runs() if "dagster/backfill" in run.tags]

        def is_at_work() -> bool:
            return any(run.status is dg.DagsterRunStatus.STARTED for run in runs())

        wait_until(is_at_work, "a run of the backfill is at work", _SECONDS)
        assert is_forked(pipeline), "a run that is spawned would import for seconds"
        if is_killed:
            for process in code_servers(pipeline):
                process.send_signal(signal.SIGKILL)

        def statuses() -> dict[str, int]:
            found = instance.get_status_by_partition(ENRICHED_EVENTS, keys, WINDOWS) or {}
            names = [status.value if status else "MISSING" for status in found.values()]
            return {name: names.count(name) for name in set(names)}

        def has_ended() -> bool:
            answer = pipeline.ask(_STATUSES)["partitionBackfillsOrError"]
            return {one["status"] for one in answer["results"]} <= _ENDED

        wait_until(has_ended, "the backfill has ended", _SECONDS)
        took = time.monotonic() - began
        print(f"{COUNT} windows in {took:.0f} s, {len(runs())} runs, {statuses()}")  # noqa: T201
        assert statuses() == {"MATERIALIZED": COUNT}
        log = (tmp_path / "up.log").read_text()
    assert ("ended with it, and will be started again" in log) is is_killed


_SECONDS = 900
_ENDED = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}

_STATUSES = """
{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }
"""
