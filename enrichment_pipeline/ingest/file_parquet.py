"""Rows of a Parquet file of events, turned back into the events' JSON.

Here belongs the schema of PostHog's batch exports: `uuid`, `event`, `distinct_id`, `person_id`,
`elements_chain` are strings, `timestamp`, `created_at`, `_inserted_at` are UTC timestamps of
microseconds, and `properties`, `person_properties` (in older exports `set` and `set_once` too) are
strings of JSON (https://posthog.com/docs/data-pipelines/batch-exports/s3). PostHog says that
columns may be added, so all others are passed on as they are.
"""

from collections.abc import Callable, Iterator
from typing import IO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from enrichment_pipeline.events.raw_event import Reason
from enrichment_pipeline.events.text import valid_json
from enrichment_pipeline.ingest.file_records import DamageError, FileRecord, capped_record
from enrichment_pipeline.ingest.file_source import one_line

_JSON_COLUMNS = frozenset({"properties", "person_properties", "set", "set_once"})

# Of events of 2.5 KB some 3 MB are in memory at once.
_BATCH_ROWS = 1000

# With a buffer and without pre_buffer Arrow reads a row group page by page; otherwise it loads the
# group, and pandas writes groups of a million rows.
_BUFFER_BYTES = 1024 * 1024


def read_rows(file: IO[bytes], on_rows: Callable[[int, int], None]) -> Iterator[FileRecord]:
    """One record for each row of a seekable Parquet file: a JSON object without the null columns.

    `on_rows(done, all)` is called as rows are done. A row with a column of JSON that is not valid
    JSON has a problem. Raises DamageError where the file is broken, or has no column `event`.
    """
    try:
        parquet = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        names = parquet.schema_arrow.names
        if "event" not in names:
            raise DamageError(f"no column 'event', so no events; it has {', '.join(names)[:200]}")
        total = parquet.metadata.num_rows
        done = 0
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
            for row in _rows(batch):
                done += 1
                yield _row_record(row, done)
            on_rows(done, total)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        # OverflowError: a timestamp past the year 9999; ValueError: text that is not UTF-8.
        raise DamageError(f"the Parquet data is damaged: {one_line(error)[:300]}") from error


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, object]]:
    columns = [_utc(column).to_pylist() for column in batch.columns]
    for values in zip(*columns, strict=True):
        yield {
            name: value
            for name, value in zip(batch.schema.names, values, strict=True)
            if value is not None
        }


def _utc(column: pa.Array) -> pa.Array:
    """A timestamp column in microseconds of UTC, which is what one without a zone is taken for."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    return column


def _row_record(row: dict[str, object], position: int) -> FileRecord:
    problem = None
    for name in _JSON_COLUMNS & row.keys():
        text = row[name]
        if text == "":
            del row[name]
        elif isinstance(text, str):
            try:
                # The validated text itself goes into the event, so its numbers stay as they were.
                row[name] = valid_json(text)
            except (ValueError, RecursionError):
                problem = f"column {name} is not valid JSON"
    payload = msgspec.json.encode(row)
    record = capped_record(payload, position, len(payload))
    if problem is None:
        return record
    return record._replace(problem=problem, reason=Reason.INVALID_JSON)
