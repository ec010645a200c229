"""What an event costs PostgreSQL: bytes on disk, bytes of WAL, and commits; for the arithmetic of
docs/explanation/scaling.md. How fast it goes belongs to the other modules."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, text

from benchmarks.measure import Report
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.importer import import_source
from enrichment_pipeline.store.database.engine import Store

_TABLES = ("raw_event", "event_key", "enriched_event")

_SIZE = text(
    """
    SELECT coalesce(sum(pg_total_relation_size(leaf.relid)), 0)::bigint,
        coalesce(sum(pg_indexes_size(leaf.relid)), 0)::bigint
    FROM pg_partition_tree(CAST(:name AS regclass)) AS leaf WHERE isleaf
    """
)
_SIZE_OF_PLAIN = text(
    """
    SELECT pg_total_relation_size(CAST(:name AS regclass)), pg_indexes_size(CAST(:name AS regclass))
    """
)


def measure(report: Report, store: Store, rules: Rules, file: Path, events: int) -> None:
    """Measure on an empty store: take the events of the file in, then enrich them."""
    summary = ImportSummary()
    loading = _wal(store, lambda: import_source(store, str(file), "default", summary))
    enriching = _wal(store, lambda: enrich_due(store, rules))
    report.fact("WAL of taking in, bytes an event", f"{loading / events:,.0f}")
    report.fact("WAL of enriching, bytes an event", f"{enriching / events:,.0f}")
    with store.transaction() as connection:
        for table in _TABLES:
            total, indexes = _size(connection, table)
            report.fact(
                f"{table} on disk, bytes an event (of them indexes)",
                f"{total / events:,.0f} ({indexes / events:,.0f})",
            )


def _wal(store: Store, work: Callable[[], object]) -> int:
    before = _position(store)
    work()
    return _position(store) - before


def _position(store: Store) -> int:
    with store.transaction() as connection:
        return int(
            connection.execute(
                text("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")
            ).scalar_one()
        )


def _size(connection: Connection, table: str) -> tuple[int, int]:
    total, indexes = connection.execute(_SIZE, {"name": table}).one()
    if not total:
        total, indexes = connection.execute(_SIZE_OF_PLAIN, {"name": table}).one()
    return int(total), int(indexes)
