"""Files of events for the tests of their readers."""

import gzip
import io
from collections.abc import Callable

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from enrichment_pipeline.ingest.files import read_records

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}
EVENTS = [
    b'{"event": "$pageview", "properties": {"n": 1.0}}',
    b'{"event":"said \\"}, {\\" \\\\", "properties": {"a": [{}, [1, 2]]}}',
    '{"event": "größer", "big": 12345678901234567890}'.encode(),
]


def stored(data: bytes, name: str = "events") -> str:
    """A URL under which `data` can be read."""
    fsspec.filesystem("memory").pipe(f"/{name}", data)
    return f"memory://{name}"


def payloads(data: bytes) -> list[bytes]:
    return [record.payload for record in read_records(stored(data))]


def parquet(columns: dict[str, object], **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()
