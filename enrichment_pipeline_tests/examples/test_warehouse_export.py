"""`examples/warehouse_export`: files of a warehouse, under PostHog's names and under others."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.cli.test_commands import call
from enrichment_pipeline_tests.clients.arrivals import rows
from enrichment_pipeline_tests.examples import EXAMPLES


def imported(file: Path) -> tuple[int, int]:
    """How many events were new, and how many known."""
    result = call("import", str(file), "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert not summary["quarantined"]
    return summary["accepted"], summary["duplicates"]


def test_both_files_are_imported_and_an_event_of_both_is_there_once(
    store: Store, rules: Rules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "example"
    shutil.copytree(EXAMPLES / "warehouse_export", folder)
    monkeypatch.chdir(folder)
    assert imported(folder / "snowflake.csv") == (4, 0)
    duckdb.execute((folder / "rename.sql").read_text())
    assert imported(folder / "events.parquet") == (1, 4)

    enrich_due(store, rules)
    found = rows(
        store,
        "SELECT session_id, description FROM enriched_event ORDER BY occurred_at",
    )
    assert found == [
        ("v-1", "Viewed /products/desk-lamp"),
        ("v-1", 'product added on /products/desk-lamp (sku="desk-lamp")'),
        ("v-1", "Viewed /checkout"),
        ("v-1", 'order placed on /checkout (sku="desk-lamp")'),
        ("v-2", 'order returned on /account/orders/:id (sku="desk-lamp")'),
    ]


def test_a_table_of_ones_own_is_whole_by_itself(
    store: Store, rules: Rules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(EXAMPLES / "warehouse_export", tmp_path / "example")
    monkeypatch.chdir(tmp_path / "example")
    duckdb.execute(Path("rename.sql").read_text())
    assert imported(Path("events.parquet")) == (5, 0)
    enrich_due(store, rules)
    assert rows(store, "SELECT min(occurred_at)::text FROM enriched_event") == [
        ("2026-03-01 12:00:00+00",)
    ]
