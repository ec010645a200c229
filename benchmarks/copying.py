"""The limits of taking events in: a COPY of finished rows into a plain table of the columns of
`raw_event`, with the payload as json or as the bytes that are stored."""

from collections.abc import Sequence

import psycopg
from psycopg.types.json import Json, Jsonb

from benchmarks.measure import timed
from enrichment_pipeline.events.raw_event import RawEvent
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.payloads import compress
from enrichment_pipeline.store.database.transactions import driver_of

_CHUNK = 10_000  # as many events in a commit as the import has

_COLUMNS = (
    "batch_id, project, uuid, occurred_at, event, distinct_id, session_id, path, title, "
    "properties, input_key, detail, device, tab, payload"
)
_TYPES = (
    *("int8", "text", "uuid", "timestamptz", "text", "text", "text", "text", "text"),
    *("jsonb", "uuid", "text", "text", "int2"),
)

Rows = Sequence[tuple[object, ...]]


def json_rows(events: Sequence[RawEvent]) -> Rows:
    """Rows whose payload is the text of the event, as json."""
    return [(*_row(event), Json(event.payload, dumps=bytes)) for event in events]


def stored_rows(events: Sequence[RawEvent]) -> Rows:
    """Rows whose payload is what the store keeps: compressed bytes."""
    return [(*_row(event), compress(event.payload)) for event in events]


def copy_rate(store: Store, rows: Rows) -> float:
    """Events a second of a COPY of these rows; making the table is not counted."""
    payload = "bytea" if isinstance(rows[0][-1], bytes) else "json"
    with store.engine.connect() as connection:
        driver = driver_of(connection)
        driver.execute("DROP TABLE IF EXISTS bench_same_columns")
        driver.execute("CREATE TABLE bench_same_columns AS SELECT * FROM raw_event WITH NO DATA")
        driver.execute("ALTER TABLE bench_same_columns DROP COLUMN payload")
        driver.execute(f"ALTER TABLE bench_same_columns ADD COLUMN payload {payload} NOT NULL")
        rate = timed(lambda: _copy(driver, rows, payload), len(rows))
        driver.execute("DROP TABLE bench_same_columns")
    return rate


def _row(event: RawEvent) -> tuple[object, ...]:
    properties = None if event.properties is None else Jsonb(event.properties, dumps=bytes)
    return (
        1,
        *(event.project, event.uuid, event.occurred_at, event.event, event.distinct_id),
        *(event.session_id, event.path, event.title, properties, event.input_key),
        *(event.detail, event.device, event.tab),
    )


def _copy(driver: psycopg.Connection, rows: Rows, payload: str) -> None:
    statement = f"COPY bench_same_columns ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
    for start in range(0, len(rows), _CHUNK):
        with driver.cursor().copy(statement.encode()) as copy:
            copy.set_types((*_TYPES, payload))
            for row in rows[start : start + _CHUNK]:
                copy.write_row(row)
