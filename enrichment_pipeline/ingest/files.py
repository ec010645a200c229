"""Reading files of PostHog's exported events: the way in for everything that imports.

Here belongs telling the formats apart. A source is JSONL, a JSON array, a request body with a
`batch`, a single JSON object, or Parquet; plain, gzip or zstd; all told by their bytes and never by
the name. Parsing and judging the events belongs to those who read the records.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain

from enrichment_pipeline.ingest.file_json import (
    batch_start,
    read_elements,
    read_lines,
    read_object,
)
from enrichment_pipeline.ingest.file_parquet import read_rows
from enrichment_pipeline.ingest.file_records import (
    BrokenFileError,
    DamageError,
    FileRecord,
    SourceError,
)
from enrichment_pipeline.ingest.file_source import (
    SourceReader,
    open_source,
    read_chunks,
    source_size,
)

__all__ = ["BrokenFileError", "FileRecord", "SourceError", "read_records", "source_size"]

_PARQUET_MAGIC = b"PAR1"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_records(
    source: str, on_progress: Callable[[int], None] | None = None
) -> Iterator[FileRecord]:
    """Every event of a source, in order, as the exact bytes that stand there, in bounded memory.

    `source` is a local path or any URL that fsspec knows. `on_progress` is called with the bytes of
    the source, as stored, that are behind us; compare with `source_size`. For Parquet, whose
    columns are not read in order, it is the share of the rows.

    Events that are broken, or longer than 20 MB, are handed out too (see `FileRecord`). Raises
    SourceError where the source cannot be opened, and BrokenFileError, after all records before the
    place, where a compressed stream, an array or a Parquet file is cut off or damaged.
    """
    with closing(open_source(source)) as raw:
        reader = SourceReader(raw, on_progress)
        unit, position = "record", 0
        try:
            unit, records = _records(source, reader)
            for record in records:
                position = record.position
                yield record
        except DamageError as damage:
            place = f"after {unit} {position}" if position else "at the beginning"
            raise BrokenFileError(f"{source}: {place}: {damage}") from damage


def _records(source: str, reader: SourceReader) -> tuple[str, Iterator[FileRecord]]:
    """Tell the format, and start its reader; with what one of its records is called."""
    if reader.peek(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC and reader.raw.seekable():
        size = reader.raw.seek(0, os.SEEK_END)
        return "row", read_rows(reader.raw, lambda done, total: reader.report(size * done // total))
    chunks = read_chunks(reader)
    head = next(chunks, b"")
    if head.startswith(_PARQUET_MAGIC):
        return "row", _unpacked_rows(source, chain([head], chunks))
    if source.partition("?")[0].endswith(".br"):
        # Nothing in the bytes of brotli says so, and PostHog offers it for its JSONL exports.
        raise SourceError(f"cannot read {source}: brotli is not supported, run `brotli -d` first")
    return _json_records(head.removeprefix(_BYTE_ORDER_MARK), chunks)


def _json_records(head: bytes, rest: Iterator[bytes]) -> tuple[str, Iterator[FileRecord]]:
    text = head.lstrip()
    if text.startswith(b"["):
        return "element", read_elements(chain([text[1:]], rest), envelope=b"")
    if text.startswith(b"{"):
        start = batch_start(text)
        if start is not None:
            envelope = text[: start - 1]
            return "element", read_elements(chain([text[start:]], rest), envelope)
        if text.partition(b"\n")[0].rstrip() == b"{":
            return "object", read_object(chain([text], rest))
    return "line", read_lines(chain([head], rest))


def _unpacked_rows(source: str, chunks: Iterator[bytes]) -> Iterator[FileRecord]:
    """Rows by way of a temporary file, because Parquet is read from its end."""
    with tempfile.TemporaryFile() as file:
        try:
            for chunk in chunks:
                file.write(chunk)
            file.seek(0)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise SourceError(f"cannot unpack {source} in {folder}: {error.strerror}") from error
        # Progress was reported while the file was unpacked.
        yield from read_rows(file, lambda _done, _total: None)
