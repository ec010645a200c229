"""Rows of a Parquet file of events, turned back into the events' JSON.

Here belongs the schema of PostHog's batch exports: `uuid`, `event`, `distinct_id`, `person_id`,
`elements_chain` are strings (of ClickHouse before 2024, binary), `timestamp`, `created_at`,
`_inserted_at` are UTC timestamps of microseconds, and `properties`, `person_properties` (in older
exports `set` and `set_once` too) are strings of JSON
(https://posthog.com/docs/data-pipelines/batch-exports/s3). What becomes of a row belongs to
`file_rows`.
"""

from collections.abc import Callable, Iterator
from typing import IO
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq

from enrichment_pipeline.file_systems import one_line
from enrichment_pipeline.ingest.file_records import DamageError, FileRecord
from enrichment_pipeline.ingest.file_rows import check_columns, event_record

_UUID_BYTES = 16

# With events of 2.5 KB, some 3 MB are in memory at once.
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
        check_columns(names)
        total = parquet.metadata.num_rows
        done = 0
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS):
            for row in _rows(batch):
                done += 1
                yield event_record(row, done)
            on_rows(done, total)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        # OverflowError: a timestamp past the year 9999; ValueError: text that is not UTF-8.
        raise DamageError(f"the Parquet data is damaged: {one_line(error)[:300]}") from error


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, object]]:
    columns = [_values(column) for column in batch.columns]
    for values in zip(*columns, strict=True):
        yield {
            name: value
            for name, value in zip(batch.schema.names, values, strict=True)
            if value is not None
        }


def _values(column: pa.Array) -> list[object]:
    if pa.types.is_timestamp(column.type):
        # In microseconds of UTC; a timestamp without a zone is taken for UTC.
        column = column.cast(pa.timestamp("us", tz="UTC"), safe=False)
    # By default, Arrow returns a map as a list of pairs.
    values: list[object] = column.to_pylist(maps_as_pydicts="lossy")
    if column.type == pa.binary(_UUID_BYTES):
        return [str(UUID(bytes=value)) if isinstance(value, bytes) else value for value in values]
    return [_text(value) for value in values] if "binary" in str(column.type) else values


def _text(value: object) -> object:
    """The value with text in place of bytes, however deep: ClickHouse knows no other strings."""
    match value:
        case bytes():
            return value.decode(errors="replace").rstrip("\0")
        case list():
            return [_text(one) for one in value]
        case dict():
            return {_text(name): _text(one) for name, one in value.items()}
    return value
