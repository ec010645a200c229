"""`make migrating EVENTS=1000000`: a store of many events is migrated from each schema that there
ever was, while others commit to it; the longest pause of their commits is printed.

The store and the commits belong to `old_store`.
"""

import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from psycopg import sql
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, create_engine, make_url

from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.schema import (
    migrate,
    schema_version,
    schema_versions,
    upgrade,
)
from enrichment_pipeline.store.database.transactions import begin
from enrichment_pipeline_tests.databases import copy_database, database_url, execute
from enrichment_pipeline_tests.faults.old_store import (
    SESSIONS_FROM,
    Commits,
    Pause,
    fill,
    fill_sessions,
)

PAUSE_SECONDS = 1.0
"""What commits may be held up for."""

_HOUR = timedelta(hours=1)

console = Console(width=110)


class Migrated(NamedTuple):
    """A store that was migrated under load."""

    before: str
    seconds: float
    """How long it took."""
    commits: int
    """What was committed meanwhile."""
    usual: Pause
    """The longest pause before."""
    pause: Pause
    """The longest one since."""
    version: str
    """Of the schema, when the longest pause ended."""


def main(
    events: Annotated[int, typer.Option(help="Events in the store.")] = 1_000_000,
    versions: Annotated[
        str, typer.Option(help="Schemas to begin with, as 0001,0009; all if empty.")
    ] = "",
) -> None:
    """Migrate a store under load. Ends with 1 where commits were held up for longer than a second.

    Example: python -m enrichment_pipeline_tests.faults.migrating --events 50000 --versions 0001
    """
    chosen = [*filter(None, versions.split(","))] or schema_versions()[:-1]
    table = Table("from", "took", "commits", "usual pause", "longest pause", "whose", "schema then")
    longest = 0.0
    try:
        with (
            tempfile.TemporaryDirectory(prefix="migrating-", ignore_cleanup_errors=True) as home,
            EmbeddedPostgres(Path(home)) as server,
        ):
            for done in migrated(server, events, chosen):
                longest = max(longest, done.pause.seconds)
                table.add_row(
                    *(done.before, f"{done.seconds:.1f} s", f"{done.commits:,}"),
                    *(f"{done.usual.seconds:.2f} s", f"{done.pause.seconds:.2f} s"),
                    *(done.pause.who, done.version),
                )
    finally:
        console.print(table)
    if longest > PAUSE_SECONDS:
        raise typer.Exit(1)


def migrated(
    server: EmbeddedPostgres, events: int, versions: Sequence[str], seconds: float = 2.0
) -> Iterator[Migrated]:
    """Migrate a store of this many events from each of these schemas in turn, after some seconds of
    commits."""
    with _database(server, "old_store") as engine:
        with begin(engine) as connection:
            fill(connection, events)
        has_sessions = False
        for version in sorted(versions):
            with begin(engine) as connection:
                if version >= SESSIONS_FROM and not has_sessions:
                    upgrade(connection, SESSIONS_FROM)
                    fill_sessions(connection, events)
                    has_sessions = True
                upgrade(connection, version)
            engine.dispose()
            with _database(server, "migrated_store", template="old_store") as copy:
                yield _migrated(copy, version, seconds)


def _migrated(engine: Engine, version: str, seconds: float) -> Migrated:
    commits = Commits(engine, sessions=version >= SESSIONS_FROM)
    with commits.running(), _watched(engine) as versions:
        started = time.monotonic()
        time.sleep(seconds)
        begun, before = time.monotonic(), commits.count()
        migrate(engine, _HOUR)
        ended, after = time.monotonic(), commits.count()
        time.sleep(seconds / 4)
    pause = commits.longest(begun, ended)
    then = max((found for at, found in versions if at <= pause.at), default=version)
    usual = commits.longest(started, begun)
    return Migrated(version, ended - begun, after - before, usual, pause, then)


@contextmanager
def _watched(engine: Engine) -> Iterator[list[tuple[float, str]]]:
    """Note when each version of the schema is seen first."""
    seen: list[tuple[float, str]] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            with begin(engine) as connection:
                version = schema_version(connection)
            if version and (not seen or seen[-1][1] != version):
                seen.append((time.monotonic(), version))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


@contextmanager
def _database(server: EmbeddedPostgres, name: str, template: str | None = None) -> Iterator[Engine]:
    """An engine on a new database, which is gone at the end of the block."""
    if template:
        copy_database(server, template, name)
    else:
        execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_url(database_url(server, name)).set(drivername="postgresql+psycopg")
    engine = create_engine(
        url, isolation_level="AUTOCOMMIT", connect_args={"prepare_threshold": None}
    )
    try:
        yield engine
    finally:
        engine.dispose()
        execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


if __name__ == "__main__":
    typer.run(main)
