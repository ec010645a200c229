"""Backup and restore, for real: a store that is written to while it is saved, and another that is
made of the backup."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.queue.changes import (
    Consumer,
    changed_days,
    changed_windows,
    remove_changes,
    take_letter_changes,
)
from enrichment_pipeline_tests.conftest import HOUR, make_event, raw_events
from enrichment_pipeline_tests.databases import copy_database, database_url

SCRIPT = Path(__file__).parents[2] / "deploy" / "backup.py"
PROGRAM = Path(sys.executable).with_name("enrichment-pipeline")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(*command: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "300", **{k: str(v) for k, v in variables.items()}}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def backup(*arguments: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, SCRIPT, *arguments, **variables)


def accepted(file: Path, home: Path) -> int:
    done = run(PROGRAM, "import", file, "--json", ENRICHMENT_HOME=home)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["accepted"])


def books(home: Path) -> dict[str, int]:
    done = run(PROGRAM, "status", "--verify", "--json", ENRICHMENT_HOME=home)
    assert done.returncode == 0, done.stderr
    total: dict[str, int] = json.loads(done.stdout)["total"]
    return total


def write_events(file: Path, count: int) -> Path:
    lines = [make_event(at=NOON, distinct_id=f"user-{number}") for number in range(count)]
    file.write_bytes(b"\n".join([*lines, b"broken " + file.name.encode()]))
    return file


def test_after_a_restore_an_import_adds_what_came_after_the_backup_and_nothing_twice(
    tmp_path: Path, rules: Rules
) -> None:
    home, other, saved = tmp_path / "home", tmp_path / "other", tmp_path / "saved"
    first, then = write_events(tmp_path / "first", 300), write_events(tmp_path / "then", 200)
    assert accepted(first, home) == 300
    with opened_store(Settings(home=home)) as store:
        enrich_due(store, rules)
        store.ensure_dagster_database()
        with psycopg.connect(dagster(store)) as connection:
            connection.execute("CREATE TABLE runs AS SELECT 7 AS id")
        with coming_in(store, rules):
            done = backup("save", saved, ENRICHMENT_HOME=home)
        assert done.returncode == 0, done.stderr
        assert accepted(then, home) == 200
        enrich_due(store, rules)
        whole = count(store, "raw_event")
    assert saved.stat().st_mode & 0o077 == 0

    done = backup("restore", saved, ENRICHMENT_HOME=other)
    assert done.returncode == 0, done.stderr
    assert "the books balance" in done.stdout
    restored = books(other)
    assert 300 < restored["accepted"] < whole
    assert restored["dead"] == 1
    with opened_store(Settings(home=other)) as store:
        with psycopg.connect(dagster(store)) as connection:
            assert connection.execute("SELECT id FROM runs").fetchall() == [(7,)]
        assert accepted(first, other) == 0
        assert accepted(then, other) == 200
        enrich_due(store, rules)
        total = books(other)
        assert (total["accepted"], total["dead"], total["pending"]) == (
            restored["accepted"] + 201,
            2,
            0,
        )
        asked = run(PROGRAM, "sql", "SELECT count(*) FROM raw_event", ENRICHMENT_HOME=other)
        assert asked.returncode == 0, asked.stderr

        done = backup("restore", saved, ENRICHMENT_HOME=other)
        assert done.returncode == 1
        assert "is not empty" in done.stderr


@contextmanager
def coming_in(store: Store, rules: Rules) -> Iterator[None]:
    """Events come in, and are enriched, for as long as the block lasts."""
    begun, stop = threading.Event(), threading.Event()

    def load() -> None:
        while not stop.is_set():
            load_events(store, raw_events(5, NOON), [], "test")
            enrich_due(store, rules)
            begun.set()

    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(load)
        assert begun.wait(60)
        yield
        stop.set()
        loading.result()


def dagster(store: Store) -> str:
    return store.dagster_url.replace("+psycopg2", "")


def count(store: Store, table: str) -> int:
    with store.transaction() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def test_databases_of_a_server_are_saved_and_restored_by_their_url(
    server: EmbeddedPostgres, store: Store, rules: Rules, tmp_path: Path
) -> None:
    load_events(store, raw_events(20, NOON), [], "test")
    enrich_due(store, rules)
    # As if a sensor had shown all of it after Dagster's tables were saved, and before the store.
    with store.transaction() as connection:
        remove_changes(connection, Consumer.WINDOWS, [NOON])
        assert take_letter_changes(connection) is False
    done = backup("save", tmp_path / "saved")
    assert done.returncode == 0, done.stderr

    name = f"{store.engine.url.database}_restored"
    url = database_url(server, name)
    done = backup("restore", tmp_path / "saved", DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    with opened_store(Settings(database_url=url)) as other:
        assert count(other, "enriched_event") == 20
        with other.transaction() as connection:
            assert changed_windows(connection, HOUR, HOUR, 9) == [NOON], "it is shown once more"
            assert [one.day for one in changed_days(connection)] == [NOON.date()]
            assert take_letter_changes(connection)

    done = backup("restore", tmp_path / "saved")
    assert done.returncode == 1
    assert "is not empty" in done.stderr
    copy_database(server, "template1", f"{name}_empty")
    done = backup("save", tmp_path / "empty", DATABASE_URL=database_url(server, f"{name}_empty"))
    assert done.returncode == 1
    assert "there is nothing to save" in done.stderr


@pytest.mark.parametrize("damage", ["cut", "missing", "unfinished"])
def test_a_backup_that_is_not_whole_is_refused_before_anything_is_made(
    tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for name in ("store.dump", "dagster.dump"):
        (folder / name).write_bytes(b"x")
    empty = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    manifest = {"made_at": "then", "sha256": {"store.dump": empty, "dagster.dump": empty}}
    if damage != "unfinished":
        (folder / "backup.json").write_text(json.dumps(manifest))
    if damage == "cut":
        (folder / "store.dump").write_bytes(b"")
    if damage == "missing":
        (folder / "store.dump").unlink()
    done = backup("restore", folder, ENRICHMENT_HOME=tmp_path / "home")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(folder) in done.stderr
    assert not (tmp_path / "home").exists()


def test_what_cannot_be_saved_is_one_line(tmp_path: Path) -> None:
    done = backup("save", tmp_path / "saved", ENRICHMENT_HOME=tmp_path / "none")
    assert done.returncode == 1
    assert "there is no embedded PostgreSQL to save" in done.stderr
    assert not (tmp_path / "none").exists()
    done = backup("save", tmp_path, ENRICHMENT_HOME=tmp_path / "none")
    assert "exists" in done.stderr
    nowhere = "postgresql://me:secret@127.0.0.1:1/none"
    done = backup("save", tmp_path / "saved", DATABASE_URL=nowhere)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "secret" not in done.stderr
