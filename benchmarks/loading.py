"""Getting events in: the import, against (e) a COPY that does nothing else, and (j) a COPY of what
the import really sends, finished beforehand."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg
from sqlalchemy import text

from benchmarks.copying import copy_rate, stored_rows
from benchmarks.measure import Rate, Report, timed
from enrichment_pipeline.events.raw_event import Arrival, parse_event
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.importer import import_source
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.transactions import driver_of

LIMIT = "(e) bare COPY as json, no processing"
STORED = "(j) bare COPY of finished rows, payloads compressed before"
IMPORT = "import: parsed, deduplicated, durable"

_COPY_CHUNK = 10_000  # as many events in a commit as the import has


def measure(report: Report, store: Store, file: Path, payloads: list[bytes], rounds: int) -> None:
    """Measure all in turn; the store ends up with the events imported once."""
    arrival = Arrival(datetime.now(UTC))
    rows = stored_rows([parse_event(payload, "bench", arrival) for payload in payloads])
    copies, stored, imports = [], [], []
    for _ in range(rounds):
        empty(store)
        copies.append(timed(lambda: _copy(store, payloads), len(payloads)))
        stored.append(copy_rate(store, rows))
        imports.append(timed(lambda: import_all(store, file, len(payloads)), len(payloads)))
    events = len(payloads)
    report.add(Rate(LIMIT, events, copies))
    report.add(Rate(STORED, events, stored))
    report.add(Rate(IMPORT, events, imports, against=LIMIT, target=0.85))
    report.add(Rate(f"{IMPORT}, again", events, imports, against=STORED))
    again = timed(lambda: import_all(store, file, 0), events)
    report.add(Rate("import of the same file again", events, [again]))


def empty(store: Store) -> None:
    """Leave nothing in the store but its schema."""
    with store.transaction() as connection:
        connection.execute(
            text("TRUNCATE raw_batch, event_key, raw_event, enriched_event, dead_letter")
        )


def import_all(store: Store, file: Path, new: int) -> None:
    """Import a file, of which so many events must be new."""
    summary = ImportSummary()
    import_source(store, str(file), "bench", summary)
    assert summary.accepted == new, summary


def _copy(store: Store, payloads: list[bytes]) -> None:
    with store.engine.connect() as connection:
        driver = driver_of(connection)
        driver.execute("DROP TABLE IF EXISTS bench_copy")
        driver.execute("CREATE TABLE bench_copy (event json NOT NULL)")
        for start in range(0, len(payloads), _COPY_CHUNK):
            copying = driver.cursor().copy("COPY bench_copy FROM STDIN (FORMAT BINARY)")
            with copying as copy:
                copy.set_types(["json"])
                for payload in payloads[start : start + _COPY_CHUNK]:
                    copy.write_row((_Json(payload),))
        driver.execute("DROP TABLE bench_copy")


def _Json(payload: bytes) -> psycopg.types.json.Json:  # noqa: N802
    return psycopg.types.json.Json(payload, dumps=bytes)
