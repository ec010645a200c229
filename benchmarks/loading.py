"""(e) Getting events in: the import, against a COPY that does nothing else."""

from pathlib import Path

import psycopg
from sqlalchemy import text

from benchmarks.measure import Rate, Report, timed
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.importer import import_source
from enrichment_pipeline.store.database.engine import Store

_COPY_CHUNK = 10_000  # as many events in a commit as the import has


def measure(report: Report, store: Store, file: Path, payloads: list[bytes], rounds: int) -> None:
    """Measure the COPY and the import in turn; the store ends up with the events imported once."""
    copies, imports = [], []
    for _ in range(rounds):
        empty(store)
        copies.append(timed(lambda: _copy(store, payloads), len(payloads)))
        imports.append(timed(lambda: import_all(store, file, len(payloads)), len(payloads)))
    report.add(Rate("(e) bare COPY as json, no processing", len(payloads), copies))
    report.add(
        Rate(
            "import: parsed, deduplicated, durable",
            len(payloads),
            imports,
            against="(e) bare COPY as json, no processing",
            target=0.5,
        )
    )
    again = timed(lambda: import_all(store, file, 0), len(payloads))
    report.add(Rate("import of the same file again", len(payloads), [again]))


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
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.execute("DROP TABLE IF EXISTS bench_copy")
        driver.execute("CREATE TABLE bench_copy (event json NOT NULL)")
        driver.commit()
        for start in range(0, len(payloads), _COPY_CHUNK):
            copying = driver.cursor().copy("COPY bench_copy FROM STDIN (FORMAT BINARY)")
            with copying as copy:
                copy.set_types(["json"])
                for payload in payloads[start : start + _COPY_CHUNK]:
                    copy.write_row((_Json(payload),))
            driver.commit()
        driver.execute("DROP TABLE bench_copy")
        driver.commit()


def _Json(payload: bytes) -> psycopg.types.json.Json:  # noqa: N802
    return psycopg.types.json.Json(payload, dumps=bytes)
