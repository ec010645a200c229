"""Outages: a real database that refuses its users for a while."""

from psycopg import sql

from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.databases import execute


def begin_outage(server: EmbeddedPostgres, store: Store) -> None:
    """Let the database end the connections that it has, and refuse new ones."""
    _accept_connections(server, store, accepts=False)
    name = sql.Literal(store.engine.url.database)
    end = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
    execute(server, end.format(name))


def end_outage(server: EmbeddedPostgres, store: Store) -> None:
    """Let the database accept connections again."""
    _accept_connections(server, store, accepts=True)


def _accept_connections(server: EmbeddedPostgres, store: Store, *, accepts: bool) -> None:
    name = sql.Identifier(str(store.engine.url.database))
    alter = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    execute(server, alter.format(name, sql.Literal(accepts)))
