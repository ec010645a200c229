"""Where Dagster keeps its runs and events: a second database, on the server of the store.

Named by `dagster.yaml`, so that every Dagster command finds the embedded server or `DATABASE_URL`
by itself, without a variable that somebody has to set first.
"""

import os
from typing import Any, Self

from dagster_postgres import DagsterPostgresStorage, PostgresRunStorage

from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, open_store


class _RunStorage(PostgresRunStorage):
    """Dagster's, and the use of the embedded server that its instance makes.

    An instance disposes of the parts of its storage, never of the whole. Left to the garbage
    collector, a process that had opened an instance kept the server running until it ended.
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
        # Dagster's tables have times without a zone, made by the server in that of the session. By
        # libpq's variable, because no engine of Dagster's can be reached before it connects, and
        # PgBouncer takes the zone for each client.
        os.environ["PGTZ"] = "UTC"
        store = open_store(load_settings())
        store.engine.dispose()
        storage = cls(store.dagster_url, inst_data=inst_data)
        storage._run_storage = _RunStorage(store)
        return storage
