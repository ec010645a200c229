"""`enrichment-pipeline backfill`: failed windows are done again, and turn green in Dagster."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.cli.main import app
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.orchestration import resources
from enrichment_pipeline.orchestration.keys import ENRICHED_EVENTS
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.books import books
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.orchestration.conftest import START
from enrichment_pipeline_tests.poison import RAISES, poisoned


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["backfill", *arguments])


@pytest.fixture
def two_failed_windows(store: Store, rules: Rules) -> None:
    """Dead batches in the first and the third window; the second is fine."""
    for number, event in enumerate(("bad", "good", "bad")):
        load_events(store, raw_events(4, START + number * HOUR, event=event), [], "test")
    for _ in range(4):
        enrich_due(store, poisoned(rules, bad=RAISES))
        with store.transaction() as connection:
            connection.execute(text("UPDATE raw_batch SET due_at = now() WHERE state = 'pending'"))


def dead(store: Store) -> list[int]:
    with store.transaction() as connection:
        return [window.dead for window in books(connection)]


def test_a_dry_run_names_the_failed_windows_and_does_nothing(
    store: Store, two_failed_windows: None
) -> None:
    shown = json.loads(run("--failed", "--dry-run", "--json").stdout)["windows"]
    assert [window["events"] for window in shown] == [4, 4]
    narrowed = json.loads(
        run("--failed", "--from", "2026-03-01-02:00", "--dry-run", "--json").stdout
    )["windows"]
    assert [window["window"] for window in narrowed] == ["2026-03-01T02:00:00+00:00"]
    assert "8 dead events would be processed again" in run("--failed", "--dry-run").stdout
    assert dead(store) == [4, 0, 4]


def test_what_is_not_asked_for_clearly_is_refused(store: Store) -> None:
    assert "add --failed, --changed, or --from" in run().output.lower()
    assert "--from must be before --to" in run("--from", "2026-03-02", "--to", "2026-03-01").output
    assert "no day and no time" in run("--from", "soon").output
    assert "No window is failed" in run("--failed").stdout


@pytest.mark.slow
def test_failed_windows_are_done_again_alone_and_shown_in_dagster(
    store: Store,
    rules: Rules,
    two_failed_windows: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENRICHMENT_HOME", str(tmp_path))
    done = run("--failed", "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["failed"] == []
    assert len(report["finished"]) == 2
    assert dead(store) == [0, 0, 0]
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        assert instance.get_materialized_partitions(ENRICHED_EVENTS) == {
            "2026-03-01-00:00",
            "2026-03-01-02:00",
        }
        # Side by side among Dagster's windows, of which it has no others here.
        assert len(instance.get_runs()) == 1


@pytest.mark.slow
def test_a_window_that_fails_again_is_reported_with_its_run(
    store: Store,
    rules: Rules,
    two_failed_windows: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from enrichment_pipeline.enrichment import attempts

    monkeypatch.setenv("ENRICHMENT_HOME", str(tmp_path))
    monkeypatch.setattr(attempts, "FIRST_WAIT", timedelta(milliseconds=1))
    monkeypatch.setattr(resources, "load_rules", lambda _: poisoned(rules, bad=RAISES))
    done = run("--failed", "--to", "2026-03-01-01:00")
    assert done.exit_code == 1
    assert "1 window failed again, the first is 2026-03-01 00:00 (run " in done.output
    assert dead(store) == [4, 0, 4]


@pytest.mark.slow
def test_it_says_nothing_of_how_dagster_works_and_what_is_dead_still(
    store: Store, two_failed_windows: None, rules: Rules, tmp_path: Path
) -> None:
    events = [*raw_events(3, START, event="bad"), *raw_events(9, START)]
    load_events(store, events, [], "test")
    enrich_due(store, poisoned(rules, bad=RAISES))
    program = Path(sys.executable).with_name("enrichment-pipeline")
    command = [program, "backfill", "--failed"]
    environment = {**os.environ, "ENRICHMENT_HOME": str(tmp_path)}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finished, dead = found.stdout.splitlines()
    assert finished == "2 windows are finished."
    assert dead.startswith("3 single events in dead letters still: ")
    assert dead.endswith("enrichment-pipeline dead-letters list")
    assert found.stderr.strip() == ""
