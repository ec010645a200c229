"""Backup and restore on a server that is not the embedded one: with which programs, over TLS, past
what would make another store of it, and refused in one line where it cannot be."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
import typer
from sqlalchemy import make_url

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import opened_store
from enrichment_pipeline.store.database.transactions import no_limits
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.conftest import raw_events
from enrichment_pipeline_tests.postgres.conftest import PLAIN, POOLED, SCHEMA, Place
from enrichment_pipeline_tests.postgres.servers import Server

DEPLOY = Path(__file__).parents[2] / "deploy"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

in_place = pytest.mark.parametrize


def backup(what: str, folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEPLOY / "backup.py", what, folder],
        env={**os.environ, "DATABASE_URL": url, "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(what: str, folder: Path, url: str) -> str:
    done = backup(what, folder, url)
    assert done.returncode == 1, done.stdout
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def without_tls(url: str) -> str:
    return str(make_url(url).update_query_dict({"sslmode": "disable"}))


def fill(url: str) -> None:
    with opened_store(Settings(database_url=url)) as store:
        load_events(store, raw_events(3, NOON), [], "test")


@in_place("place", [SCHEMA], indirect=True)
def test_a_backup_of_one_schema_is_not_restored_into_another(place: Place, tmp_path: Path) -> None:
    fill(place.url)
    saved = tmp_path / "saved"
    assert backup("save", saved, place.direct).returncode == 0
    elsewhere = str(make_url(place.empty).difference_update_query(["options"]))
    assert "add ?options=-csearch_path=app" in refusal("restore", saved, elsewhere)
    with psycopg.connect(elsewhere) as connection:
        found = connection.execute("SELECT to_regclass('public.raw_batch')").fetchone()
    assert found == (None,), "nothing was made"
    assert "restored 3 events" in backup("restore", saved, place.empty).stdout


@in_place("place", [PLAIN], indirect=True)
def test_a_restore_without_the_events_of_the_backup_fails(place: Place, tmp_path: Path) -> None:
    fill(place.url)
    saved = tmp_path / "saved"
    assert backup("save", saved, place.direct).returncode == 0
    manifest = json.loads((saved / "backup.json").read_text())
    assert manifest["accepted"] == 3
    (saved / "backup.json").write_text(json.dumps({**manifest, "accepted": 20_000}))
    error = refusal("restore", saved, place.empty)
    assert "the backup has 20,000 events, of which 3 came back" in error


@in_place("place", [POOLED], indirect=True)
def test_nothing_is_saved_or_restored_through_a_pool_of_connections(
    place: Place, tmp_path: Path
) -> None:
    fill(place.url)
    assert "name the server's own address" in refusal("save", tmp_path / "saved", place.url)
    assert backup("save", tmp_path / "whole", place.direct).returncode == 0
    assert "name the server's own address" in refusal("restore", tmp_path / "whole", place.url)


@in_place("place", [PLAIN], indirect=True)
def test_a_role_with_no_time_for_anything_is_saved_and_restored(
    place: Place, elsewhere: Server, programs: ModuleType, tmp_path: Path
) -> None:
    fill(place.url)
    limits = no_limits(elsewhere.version())
    for name in limits:
        elsewhere.do(f"ALTER ROLE {{}} SET {name} TO '1ms'", PLAIN)
    try:
        programs.dump(tmp_path / "store.dump", place.direct, "public")
        programs.restore_dump(tmp_path / "store.dump", place.empty, "public")
    finally:
        for name in limits:
            elsewhere.do(f"ALTER ROLE {{}} RESET {name}", PLAIN)
    with opened_store(Settings(database_url=place.empty)) as store, store.transaction() as found:
        assert found.exec_driver_sql("SELECT count(*) FROM raw_event").scalar_one() == 3


@in_place("place", [PLAIN], indirect=True)
def test_a_newer_program_restores_on_an_older_server(
    place: Place, programs: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(place.url)
    monkeypatch.setattr(programs, "_installed", list)
    dump = tmp_path / "store.dump"
    programs.dump(dump, without_tls(place.direct), "public")
    programs.restore_dump(dump, without_tls(place.empty), "public")
    with opened_store(Settings(database_url=place.empty)) as store, store.transaction() as found:
        assert found.exec_driver_sql("SELECT count(*) FROM raw_event").scalar_one() == 3


@in_place("place", [PLAIN], indirect=True)
def test_of_the_programs_that_are_there_those_of_the_servers_own_version_are_run(
    place: Place,
    elsewhere: Server,
    programs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    own = elsewhere.version()
    folders = {version: tmp_path / str(version) for version in (own + 1, own, own - 1)}
    for version, folder in folders.items():
        folder.mkdir()
        for name in ("pg_dump", "pg_restore", "psql"):
            (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}.1'\n")
            (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folders[own]}:{os.environ['PATH']}")
    assert folders[own] in programs._installed()
    monkeypatch.setattr(programs, "_installed", lambda: list(folders.values()))
    assert programs._programs(place.url) == folders[own]


@in_place("place", [PLAIN], indirect=True)
def test_where_no_program_speaks_tls_it_is_said_what_to_install(
    place: Place,
    programs: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(programs, "_installed", list)
    with pytest.raises(typer.Exit):
        programs.dump(tmp_path / "dump", place.url, "public")
    assert "with TLS: install its client programs" in " ".join(capsys.readouterr().err.split())


@in_place("place", [PLAIN], indirect=True)
def test_a_backup_that_is_damaged_leaves_nothing_behind(
    place: Place, programs: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(place.url)
    dump = tmp_path / "store.dump"
    programs.dump(dump, place.direct, "public")
    dump.write_bytes(dump.read_bytes()[:-100])
    with pytest.raises(typer.Exit):
        programs.restore_dump(dump, place.empty, "public")
    assert "pg_restore of store.dump failed" in capsys.readouterr().err
    with psycopg.connect(place.empty) as connection:
        found = connection.execute("SELECT to_regclass('public.raw_batch')").fetchone()
    assert found == (None,)
