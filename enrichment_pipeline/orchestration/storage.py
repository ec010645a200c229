"""Where Dagster keeps its runs and events: a second database, on the server of the store.

`dagster.yaml` names the storage class, so that every Dagster command finds the embedded server or
`DATABASE_URL` without a variable that somebody has to set first.
"""

import os
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Self

from dagster import AssetKey, DagsterEventType, EventLogEntry
from dagster_postgres import (
    DagsterPostgresStorage,
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from sqlalchemy import create_engine

from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, open_store

_EVENTS_AT_ONCE = "500"


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
        self._engine.dispose()
        self._store.close()


class _EventLogStorage(PostgresEventLogStorage):
    """Dagster's event log, which writes the planned materializations of a run at once: Dagster's
    own writes one after another, and a run over hundreds of windows waits for that."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Called by Dagster with events of one run."""
        planned: dict[AssetKey, list[EventLogEntry]] = defaultdict(list)
        others = []
        for event in events:
            asset = event.get_dagster_event().asset_key
            if asset and event.dagster_event_type is DagsterEventType.ASSET_MATERIALIZATION_PLANNED:
                planned[asset].append(event)
            else:
                others.append(event)
        for of_asset in planned.values():
            with self._connect() as connection:
                connection.execute(self.prepare_insert_event_batch(of_asset))
            # The asset has its newest event only, and of a planned one not the id.
            with self.index_transaction() as connection:
                self._store_asset_event(connection, of_asset[-1], event_id=0)
        if others:
            super().store_event_batch(others)


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
        # Otherwise Dagster writes the materializations of a run in three transactions each.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", _EVENTS_AT_ONCE)
        store = open_store(load_settings())
        store.ensure_dagster_database()
        store.engine.dispose()
        storage = cls(store.dagster_url, inst_data=inst_data)
        storage._run_storage = _RunStorage(store)
        storage._event_log_storage = _EventLogStorage(store.dagster_url)
        storage._keep_a_connection()
        return storage

    def _keep_a_connection(self) -> None:
        """Dagster connects anew for each statement, which costs more than most statements do. One
        connection is kept; where more are in use at once, the others are closed after it."""
        engine = create_engine(
            self.postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_pre_ping=True,
            pool_size=1,
            max_overflow=-1,
        )
        parts: tuple[PostgresRunStorage | PostgresEventLogStorage | PostgresScheduleStorage, ...]
        parts = self._run_storage, self._event_log_storage, self._schedule_storage
        for part in parts:
            part._engine = engine
