"""The schema's version: migrating it, and the settings that the store itself remembers.

The tables belong to `tables`, their history to `migrations`.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from enrichment_pipeline.store.database.errors import StoreError
from enrichment_pipeline.store.database.roles import ensure_reader
from enrichment_pipeline.store.database.transactions import begin

if TYPE_CHECKING:
    from alembic.config import Config

# Any number will do, if nothing else on the server locks the same one.
_MIGRATION_LOCK = 7_263_409_112

_MIGRATIONS = Path(__file__).parents[1] / "migrations"


def migrate(engine: Engine, window: timedelta) -> None:
    """Bring the schema up to date; a new store records its window length.

    Safe to call from several processes at once.

    Raises:
        StoreError: the store was made with windows of another length, or by a newer version.
    """
    with begin(engine) as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        if schema_version(connection) != _versions()[-1]:
            upgrade(connection)
            ensure_reader(connection)
        _remember_window(connection, window)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations up to `revision`."""
    from alembic import command  # see _versions

    command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Undo the migrations down to `revision`; `base` is the empty database."""
    from alembic import command  # see _versions

    command.downgrade(_config(connection), revision)


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
