"""The schema's version: migrating it, and the settings that the store itself remembers.

The tables belong to `tables`, their history to `migrations`.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from enrichment_pipeline.store.database.errors import StoreError, driver_error
from enrichment_pipeline.store.database.roles import ensure_reader
from enrichment_pipeline.store.database.transactions import begin
from enrichment_pipeline.wording import command

if TYPE_CHECKING:
    from alembic.config import Config

# Any number will do, if nothing else on the server locks the same one.
_MIGRATION_LOCK = 7_263_409_112

_LOCK_SECONDS = 1
_GIVE_UP_SECONDS = 60

_MIGRATIONS = Path(__file__).parents[1] / "migrations"


class Migration(NamedTuple):
    """What `migrate` did."""

    before: str | None
    """The schema's version; None in an empty database."""
    after: str


def migrate(engine: Engine, window: timedelta, *, is_wanted: bool = True) -> Migration:
    """Bring the schema up to date; a new store records its window length. Unless it `is_wanted`,
    only an empty database gets a schema, and an older one is refused.

    Safe to call from several processes at once. Those that are at work are held up for a second at
    most at a time: a migration that has to wait for their locks gives way and tries again.

    Raises:
        StoreError: the schema is older and must not change now, or newer than this version; the
            store was made with windows of another length; or its tables were in use for
            `_GIVE_UP_SECONDS`.
    """
    try:
        return _migrate(engine, window, is_wanted)
    except DBAPIError as error:
        if _waits_for_a_lock(error):
            raise StoreError(
                f"tables of the store were in use for {_GIVE_UP_SECONDS} s, so that its schema "
                "could not change; end the transaction that uses them (pg_stat_activity shows it), "
                "and try again"
            ) from error
        raise


def _waits_for_a_lock(error: BaseException) -> bool:
    return isinstance(driver_error(error), psycopg.errors.LockNotAvailable)


@retry(
    retry=retry_if_exception(_waits_for_a_lock),
    wait=wait_random(0.5, 1.5),
    stop=stop_after_delay(_GIVE_UP_SECONDS),
    reraise=True,
)
def _migrate(engine: Engine, window: timedelta, is_wanted: bool) -> Migration:
    with begin(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        before, newest = schema_version(connection), newest_version()
        if before != newest:
            if before is not None and not is_wanted:
                raise StoreError(
                    f"the database has schema version {before}, and this version of "
                    f"enrichment-pipeline needs {newest}; run: {command('migrate')}"
                )
            # What waits for a lock holds up everybody who comes after it.
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
            upgrade(connection)
            ensure_reader(connection)
        _remember_window(connection, window)
        return Migration(before, newest)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision`."""
    from alembic import command as alembic  # see _versions

    alembic.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Undo the migrations down to `revision`; `base` is the empty database."""
    from alembic import command as alembic  # see _versions

    alembic.downgrade(_config(connection), revision)


def schema_version(connection: Connection) -> str | None:
    """The newest migration that has been run; None in an empty database.

    Raises:
        StoreError: this version of the program does not know it.
    """
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if version is not None and version not in _versions():
        raise StoreError(
            f"the database has schema version {version}, which this version of "
            "enrichment-pipeline does not know; upgrade enrichment-pipeline"
        )
    return version


def newest_version() -> str:
    """The schema's version that this program needs."""
    return _versions()[-1]


def _versions() -> list[str]:
    """The schema's versions in order, read from the names of the files: opening an up-to-date store
    then need not wait half a second for Alembic."""
    return sorted(file.name[:4] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def _config(connection: Connection) -> "Config":
    from alembic.config import Config  # see _versions

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
