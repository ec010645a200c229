"""The schema's version: migrating it, and the settings that the store itself remembers.

The tables belong to `tables`, their history to `migrations`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.store.database.errors import StoreError, driver_error, first_line
from enrichment_pipeline.store.database.locks import (
    GIVE_UP_SECONDS,
    gave_way,
    lock_seconds,
    patiently,
)
from enrichment_pipeline.store.database.roles import ensure_reader
from enrichment_pipeline.store.database.transactions import begin, wait_long
from enrichment_pipeline.wording import command

if TYPE_CHECKING:
    from alembic.config import Config

# Any number will do, if nothing else on the server locks the same one.
_MIGRATION_LOCK = 7_263_409_112

_POLL_SECONDS = 0.1

_MIGRATIONS = Path(__file__).parents[1] / "migrations"


class Migration(NamedTuple):
    """What `migrate` did."""

    before: str | None
    """The schema's version; None in an empty database."""
    after: str


def migrate(
    engine: Engine,
    window: timedelta,
    *,
    is_wanted: bool = True,
    report: Callable[[str], object] = lambda _: None,
) -> Migration:
    """Bring the schema up to date; a new store records its window length. Unless it `is_wanted`,
    only an empty database gets a schema, and an older one is refused. `report` is called with each
    version that an older store has come to.

    Safe to call from several processes at once. Each migration is a transaction of its own, after
    steps that can be done again: where a process is killed, the next one goes on. Those that are at
    work are held up for less than a second at a time: see `migrations.online`.

    Raises:
        StoreError: the schema is older and must not change now, or newer than this version; the
            store was made with windows of another length; its tables were in use for
            `GIVE_UP_SECONDS`; or the role may not make them.
    """
    try:
        return _migrate(engine, window, is_wanted, report)
    except DBAPIError as error:
        if refusal := _refusal(engine, error):
            raise refusal from error
        raise


def _refusal(engine: Engine, error: DBAPIError) -> StoreError | None:
    """What a person can do about an error of PostgreSQL, if there is something."""
    if gave_way(error):
        return StoreError(
            f"tables of the store were in use for {GIVE_UP_SECONDS} s, so that its schema "
            "could not change; end the transaction that uses them (pg_stat_activity shows it), "
            "and try again"
        )
    if isinstance(driver_error(error), psycopg.errors.InsufficientPrivilege):
        url = engine.url
        return StoreError(
            f"{url.username} may not make what the store needs: {first_line(error)}; "
            f'run: ALTER DATABASE "{url.database}" OWNER TO "{url.username}"'
        )
    return None


def _migrate(
    engine: Engine, window: timedelta, is_wanted: bool, report: Callable[[str], object]
) -> Migration:
    newest = newest_version()
    with begin(engine) as connection:
        before = version = schema_version(connection)
        if before == newest:
            _remember_window(connection, window)
    if before not in {None, newest} and not is_wanted:
        raise StoreError(
            f"the database has schema version {before}, and this version of "
            f"enrichment-pipeline needs {newest}; run: {command('migrate')}"
        )
    while version != newest:
        version = _advance(engine, window)
        if before:
            report(version)
    return Migration(before, newest)


@patiently
def _advance(engine: Engine, window: timedelta) -> str:
    """Run the next migration, or in an empty database all; returns the version after it."""
    with _alone(engine) as connection:
        version, versions = schema_version(connection), schema_versions()
        if version is None:
            upgrade(connection)
            _remember_window(connection, window)
            version = versions[-1]
        elif version != versions[-1]:
            version = versions[versions.index(version) + 1]
            connection.execute(text(f"SET LOCAL lock_timeout = '{lock_seconds()}s'"))
            upgrade(connection, version, engine)
        if version == versions[-1]:
            ensure_reader(connection)
        return version


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other process is in at the same time."""
    locked = text("SELECT pg_try_advisory_xact_lock(:key)")
    while True:
        with begin(engine) as connection:
            # Nobody waits in a statement: for that, an index that is made concurrently would wait.
            if connection.execute(locked, {"key": _MIGRATION_LOCK}).scalar_one():
                wait_long(connection)
                yield connection
                return
        time.sleep(_POLL_SECONDS)


def upgrade(connection: Connection, revision: str = "head", engine: Engine | None = None) -> None:
    """Run the migrations up to `revision`: all in this transaction, or with an `engine` each step
    in one of its own, while others are at work."""
    from alembic import command as alembic  # see schema_versions

    config = _config(connection)
    config.attributes["engine"] = engine
    alembic.upgrade(config, revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Undo the migrations down to `revision`; `base` is the empty database."""
    from alembic import command as alembic  # see schema_versions

    alembic.downgrade(_config(connection), revision)


def schema_version(connection: Connection) -> str | None:
    """The newest migration that has been run; None in an empty database.

    Raises:
        StoreError: this version of the program does not know it.
    """
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if version is not None and version not in schema_versions():
        raise StoreError(
            f"the database has schema version {version}, which this version of "
            "enrichment-pipeline does not know; upgrade enrichment-pipeline"
        )
    return version


def newest_version() -> str:
    """The schema's version that this program needs."""
    return schema_versions()[-1]


def schema_versions() -> list[str]:
    """The schema's versions in order, read from the names of the files: opening an up-to-date store
    then need not wait half a second for Alembic."""
    return sorted(file.name[:4] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _config(connection: Connection) -> "Config":
    from alembic.config import Config  # see schema_versions

    config = Config(attributes={"connection": connection})
    # Alembic reads the option through configparser, for which % begins a substitution.
    location = str(_MIGRATIONS).replace("%", "%%")
    config.set_main_option("script_location", location)
    config.set_main_option("path_separator", "os")
    return config


def _remember_window(connection: Connection, window: timedelta) -> None:
    minutes = int(window.total_seconds() // 60)
    kept = connection.execute(
        text(
            """
            INSERT INTO store_setting (name, value) VALUES ('window_minutes', :minutes)
            ON CONFLICT (name) DO NOTHING;
            """
        ),
        {"minutes": str(minutes)},
    )
    if kept.rowcount:
        return
    value = connection.execute(
        text("SELECT value FROM store_setting WHERE name = 'window_minutes'")
    ).scalar_one()
    if int(value) != minutes:
        raise StoreError(
            f"ENRICHMENT_WINDOW_MINUTES={minutes}: this store was made with {value}; "
            f"set it to {value}, or start with a new database"
        )
