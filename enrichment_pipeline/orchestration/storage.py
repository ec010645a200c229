"""Where Dagster keeps its runs and events: a second database, on the server of the store.

`dagster.yaml` names the storage class, so that every Dagster command finds the embedded server or
`DATABASE_URL` without a variable that somebody has to set first.
"""

import os
from typing import Any, Self

from dagster_postgres import DagsterPostgresStorage, PostgresRunStorage

from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, open_store


class _RunStorage(PostgresRunStorage):
    """Dagster's run storage, which also holds the instance's use of the embedded server.

    An instance disposes of the parts of its storage, never of the whole. If closing were left to
    the garbage collector, a process that had opened an instance would keep the server running.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store.dagster_url)
        self._store = store

    def dispose(self) -> None:
        """Called by Dagster when the instance is closed."""
        super().dispose()
        self._store.close()


class PipelineDagsterStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage, at the address that the settings of the project name."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Self:
        """Called by Dagster."""
        # Dagster's tables have times without a zone, which the server makes in the session's zone.
        # libpq's variable sets it, because Dagster's engines cannot be reached before they connect,
        # and PgBouncer keeps the zone for each client.
        os.environ["PGTZ"] = "UTC"
        store = open_store(load_settings())
        store.ensure_dagster_database()
        store.engine.dispose()
        storage = cls(store.dagster_url, inst_data=inst_data)
        storage._run_storage = _RunStorage(store)
        return storage
