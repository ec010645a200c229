"""Where Dagster keeps its runs and events: a second database, on the server of the store.

Named by `dagster.yaml`, so that every Dagster command finds the embedded server or `DATABASE_URL`
by itself, without a variable that somebody has to set first.
"""

from typing import Any, Self

from dagster_postgres import DagsterPostgresStorage

from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.engine import Store, open_store


class PipelineDagsterStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage, at the address that the settings of the project name."""

    _store: Store
    """Kept open, because the embedded server runs only as long as somebody uses it."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Self:
        """Called by Dagster."""
        store = open_store(load_settings())
        store.engine.dispose()
        storage = cls(store.dagster_url, inst_data=inst_data)
        storage._store = store
        return storage
