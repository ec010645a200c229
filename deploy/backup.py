"""Backup and restore of everything that is in PostgreSQL: the store, and Dagster's tables.

    .venv/bin/python deploy/backup.py save backups/2026-03-01
    .venv/bin/python deploy/backup.py restore backups/2026-03-01

Which server is meant, the embedded one or DATABASE_URL, the settings say, as everywhere. What a
restore means for events that were accepted after the backup is described in docs/how-to/backup.md.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from postgres_programs import dump, restore_dump
from sqlalchemy import make_url, text

from enrichment_pipeline.cli.console import fail, out, print_error
from enrichment_pipeline.settings import Settings, SettingsError, load_settings
from enrichment_pipeline.store.database.embedded_server import ServerFiles
from enrichment_pipeline.store.database.engine import Store, connect_store, opened_store
from enrichment_pipeline.store.database.errors import StoreError, first_line, is_store_failure
from enrichment_pipeline.store.database.roles import ensure_reader
from enrichment_pipeline.store.database.schema import schema_version
from enrichment_pipeline.store.database.transactions import wait_long, without_limits
from enrichment_pipeline.store.queue.changes import append_all_changes
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline.wording import counted

# Dagster's tables first: what Dagster knows of the store is then older than the store, and it
# catches up. The other way round, it would believe that it had launched what is due.
STORE, DAGSTER = "store.dump", "dagster.dump"
DUMPS = (DAGSTER, STORE)
MANIFEST = "backup.json"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

Folder = Annotated[Path, typer.Argument(help="The folder of the backup.")]


@app.command()
def save(folder: Folder) -> None:
    """Save both databases, while everything runs, into a folder that does not exist yet."""
    if folder.exists():
        fail(f"{folder} exists; a backup has a folder of its own")
    settings = load_settings()
    if settings.database_url is None and not ServerFiles.of(settings.home).data.exists():
        fail(f"ENRICHMENT_HOME={settings.home}: there is no embedded PostgreSQL to save")
    # Only a complete backup has the name that was asked for.
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)  # it holds people's events
    with _connected(settings) as store:
        manifest: dict[str, object] = {
            "made_at": _now(store).isoformat(timespec="seconds"),
            "schema_version": _version(store),
            "schemas": {name: _schema(store, name) for name in DUMPS},
        }
        _refuse_a_pool(store)
        _dump(store, DAGSTER, partial)
        with store.snapshot() as connection:
            wait_long(connection)
            manifest["accepted"] = sum(window.accepted for window in books(connection))
            snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
            _dump(store, STORE, partial, f"--snapshot={snapshot}")
    manifest["sha256"] = {name: _checksum(partial / name) for name in DUMPS}
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    partial.rename(folder)
    size = sum(file.stat().st_size for file in folder.iterdir())
    out.print(f"saved {counted(size, 'byte')} in {folder}", highlight=False, soft_wrap=True)


@app.command()
def restore(folder: Folder) -> None:
    """Restore a backup into an empty home, or into an empty DATABASE_URL."""
    manifest = _check(folder)
    settings = load_settings()
    with _connected(settings) as store:
        _refuse_a_pool(store)
        for name in DUMPS:
            _refuse_to_mix(store, name, manifest)
        for name in DUMPS:
            restore_dump(folder / name, _conninfo(store, name), _schema(store, name))
            with (
                psycopg.connect(_conninfo(store, name), autocommit=True) as restored,
                without_limits(restored),
            ):
                # A dump has no statistics, without which PostgreSQL plans badly.
                restored.execute("ANALYZE")
        with store.transaction() as connection:
            if schema_version(connection) != manifest["schema_version"]:
                fail(f"{STORE} was restored, and the store is not there: is it in another schema?")
            ensure_reader(connection)
    # A backup of an older version is brought up to date here.
    settings = settings.model_copy(update={"auto_migrate": True})
    with opened_store(settings) as store, store.transaction() as connection:
        # What was seen between the two dumps, Dagster has forgotten.
        append_all_changes(connection, datetime.fromisoformat(str(manifest["made_at"])))
        kept = books(connection)
        by_rows = counted_books(connection, [window.window_start for window in kept], store.window)
    if kept != by_rows or not all(window.balances for window in by_rows):
        fail("the books of what was restored do not balance; see: enrichment-pipeline status --all")
    accepted = sum(window.accepted for window in by_rows)
    if accepted != manifest.get("accepted", accepted):
        saved = counted(manifest["accepted"], "event")
        fail(f"the backup has {saved}, of which {accepted:,} came back")
    out.print(
        f"restored {counted(accepted, 'event')}, as of {manifest['made_at']}; the books balance, "
        "counted row by row",
        highlight=False,
        soft_wrap=True,
    )


@contextmanager
def _connected(settings: Settings) -> Iterator[Store]:
    # Not opened: that would bring the schema up to date before it is saved, and make tables where
    # there have to be none.
    store = connect_store(settings)
    try:
        store.ensure_dagster_database()
        yield store
    finally:
        store.close()


def _now(store: Store) -> datetime:
    """By the server's clock, as all times in the store are."""
    with store.transaction() as connection:
        now: datetime = connection.execute(text("SELECT now()")).scalar_one()
    return now.astimezone(UTC)


def _version(store: Store) -> str:
    with store.transaction() as connection:
        version = schema_version(connection)
    if version is None:
        fail(f"there is nothing to save: {store.engine.url.database!r} is empty")
    return version


def _schema(store: Store, name: str) -> str:
    """The schema that the tables of a database are in."""
    with psycopg.connect(_conninfo(store, name)) as connection:
        return str(connection.execute("SELECT current_schema()").fetchall()[0][0])


def _refuse_to_mix(store: Store, name: str, manifest: Mapping[str, Any]) -> None:
    """A backup goes into an empty schema, of the name that it had."""
    schema, saved = _schema(store, name), manifest.get("schemas", {}).get(name)
    if saved not in {schema, None}:
        fail(
            f"the tables of {name} are in the schema {saved}, those of DATABASE_URL would be in "
            f"{schema}: add ?options=-csearch_path={saved} to it"
        )
    with psycopg.connect(_conninfo(store, name)) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') "
            "AND relnamespace = current_schema()::regnamespace LIMIT 1"
        ).fetchone()
        if found:
            fail(
                f"database {connection.info.dbname!r} is not empty, it has a table {found[0]}: "
                "restore into an ENRICHMENT_HOME that does not exist yet, or into an empty database"
            )


def _refuse_a_pool(store: Store) -> None:
    """pg_dump sets what holds for its connection: where another transaction gets that connection,
    the dump is wrong, and so is what others do on it."""
    with (
        psycopg.connect(_conninfo(store, STORE), autocommit=True) as one,
        psycopg.connect(_conninfo(store, STORE), autocommit=True) as other,
    ):
        pids = [c.execute("SELECT pg_backend_pid()").fetchall()[0][0] for c in (one, other)]
    if pids[0] == pids[1]:
        fail(
            "DATABASE_URL reaches PostgreSQL by way of a pool of connections, such as PgBouncer's, "
            "through which nothing can be saved or restored: name the server's own address here"
        )


def _conninfo(store: Store, name: str) -> str:
    url = store.engine.url if name == STORE else make_url(store.dagster_url)
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _dump(store: Store, name: str, folder: Path, *options: str) -> None:
    dump(folder / name, _conninfo(store, name), _schema(store, name), *options)


def _check(folder: Path) -> dict[str, Any]:
    """What is known of the backup; refuses what is none, or not as it was made."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        for name in DUMPS:
            if _checksum(folder / name) != manifest["sha256"][name]:
                fail(f"{folder / name} is not as it was made: its checksum is another")
        return {**manifest, "made_at": str(manifest["made_at"])}
    except (OSError, ValueError, KeyError) as error:
        fail(f"{folder} is no complete backup: {error!r}")


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _main() -> None:
    try:
        app()
    except (StoreError, SettingsError) as error:
        _end(str(error))
    except Exception as error:
        if not is_store_failure(error):
            raise
        _end(f"PostgreSQL: {first_line(error)}")


def _end(message: str) -> NoReturn:
    print_error(message)
    raise SystemExit(1)


if __name__ == "__main__":
    _main()
