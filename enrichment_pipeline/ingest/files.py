"""Reading files of PostHog's exported events, for everything that imports.

A source is JSONL, a JSON array, a request body with a `batch`, a response of PostHog's APIs with
`results`, an object of events, a single event, CSV with a header, or Parquet; plain, gzip or zstd;
or a zip or tar archive of such files. The format is recognized by the bytes; the name decides only
how much other text may stand among the events. Reading each format belongs to `file_*`, parsing the
events to the callers.
"""

import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import chain, islice
from typing import IO, NamedTuple

from enrichment_pipeline.ingest.file_archives import (
    ZIP_MAGICS,
    Member,
    is_tar,
    tar_members,
    zip_members,
)
from enrichment_pipeline.ingest.file_csv import csv_delimiter, read_csv
from enrichment_pipeline.ingest.file_json import (
    batch_start,
    first_value,
    read_elements,
    read_lines,
    read_object,
    read_values,
    results_start,
)
from enrichment_pipeline.ingest.file_looks import (
    begins_as_object,
    is_like_event,
    is_of_somebody,
    is_text,
    no_events,
    refuse_other_formats,
)
from enrichment_pipeline.ingest.file_parquet import read_rows
from enrichment_pipeline.ingest.file_records import (
    BrokenFileError,
    DamageError,
    FileRecord,
    OtherContentError,
    SourceError,
)
from enrichment_pipeline.ingest.file_rows import (
    answer_columns,
    answer_record,
    check_columns,
    is_wrapped,
    next_page,
    object_keys,
    object_record,
)
from enrichment_pipeline.ingest.file_source import (
    CHUNK_BYTES,
    SourceReader,
    expand_source,
    open_source,
    read_chunks,
    source_size,
)
from enrichment_pipeline.wording import command, counted

__all__ = [
    "BrokenFileError",
    "FileRecord",
    "SourceError",
    "expand_source",
    "read_events",
    "read_records",
    "source_size",
]

_PARQUET_MAGIC = b"PAR1"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAGIC_BYTES = 4

_LINE = "line"
"""The name of a record that is a line of a file."""

_ROW = "row"
"""The name of a record that was made from the row of a table, or another shape of events."""

_MOST_NESTED = 3
"""The most levels of archives within archives."""

_JUDGED_RECORDS, _JUDGED_BYTES = 1_000, 4 * 1024 * 1024
"""One of so many records at the beginning must look like an event, or the file has none."""


def read_events(
    source: str,
    on_progress: Callable[[int], None] | None = None,
    on_warning: Callable[[str], None] = lambda _line: None,
) -> Iterator[FileRecord]:
    """`read_records` of a source that should hold events.

    If the source is one page of a response that has more, `on_warning` is called with a line that
    names it.

    Raises SourceError, before any record is yielded, where none of the first ones looks like an
    event: a file of something else gives one error, and not a dead letter for each line.
    """
    with closing(open_source(source)) as raw:
        yield from _records(source, SourceReader(raw, on_progress), _judged, on_warning)


def read_records(
    source: str, on_progress: Callable[[int], None] | None = None
) -> Iterator[FileRecord]:
    """Every event of a source, in order, in bounded memory; with its exact bytes, where the source
    holds it as an event.

    `source` is a local path, any URL that fsspec knows, or `-`. `on_progress` is called with the
    bytes of the source, as stored, that have been read; compare with `source_size`. For Parquet,
    whose columns are not read in order, the share of the rows stands for the bytes.

    Events that are broken, or longer than 20 MB, are yielded too (see `FileRecord`). Raises
    SourceError where the source cannot be opened or has an unsupported format, and BrokenFileError,
    after all records before the place, where a compressed stream, an array or a Parquet file is cut
    off or damaged. An error in a file of an archive is raised after the other files are read.
    """
    with closing(open_source(source)) as raw:
        reader = SourceReader(raw, on_progress)
        yield from _records(source, reader, lambda _name, content: content.records, _say_nothing)


class _Archive(NamedTuple):
    members: Iterator[Member]


class _Envelope:
    """The text around the array of events, with an empty array in its place; known at the end."""

    def __init__(self) -> None:
        self.text = b""

    def of(self, elements: Generator[FileRecord, None, bytearray]) -> Iterator[FileRecord]:
        self.text = bytes((yield from elements))


_NO_ENVELOPE = _Envelope()


class _Records(NamedTuple):
    unit: str
    """The name of one record."""
    records: Iterator[FileRecord]
    envelope: _Envelope = _NO_ENVELOPE


_Judge = Callable[[str, _Records], Iterator[FileRecord]]
_Warn = Callable[[str], None]


def _say_nothing(_line: str) -> None:
    """For callers that want no warnings."""


def _records(
    name: str, reader: SourceReader, judge: _Judge, warn: _Warn, depth: int = 0
) -> Iterator[FileRecord]:
    unit, position = "record", 0
    try:
        content = _content(name, reader)
        if isinstance(content, _Archive):
            yield from _of_members(name, content.members, judge, warn, depth + 1)
            return
        unit = content.unit
        for record in judge(name, content):
            position = record.position
            yield record
        if todo := next_page(content.envelope.text):
            read = counted(position, "record")
            every = f"take everything with `{command('pull')}`"
            warn(f"{name}: one page of more ({read} read): {todo} too, or {every}")
    except OtherContentError as error:
        raise BrokenFileError(f"{name}: {error}") from error
    except DamageError as damage:
        place = f"after {unit} {position}" if position else "at the beginning"
        raise BrokenFileError(f"{name}: {place}: {damage}") from damage


def _of_members(
    name: str, members: Iterator[Member], judge: _Judge, warn: _Warn, depth: int
) -> Iterator[FileRecord]:
    if depth > _MOST_NESTED:
        raise OtherContentError("archives within archives within archives: unpack it first")
    failures: list[SourceError] = []
    for member in members:
        inner = SourceReader(member.file, None, seekable=False)
        try:
            yield from _records(f"{name}: {member.name}", inner, judge, warn, depth)
        except SourceError as error:
            # The other files are still read.
            failures.append(error)
    if failures:
        others = f" (and {len(failures) - 1:,} more of its files)" if len(failures) > 1 else ""
        raise BrokenFileError(f"{failures[0]}{others}")


def _judged(name: str, content: _Records) -> Iterator[FileRecord]:
    """The records, if one of the first is like an event; in a table it must also name a person, and
    lines must not be a text that quotes events."""
    is_good = is_of_somebody if content.unit == _ROW else is_like_event
    records = iter(content.records)
    first: list[FileRecord] = []
    size, damage = 0, None
    may_be_text = False
    try:
        for record in islice(records, _JUDGED_RECORDS):
            if not first:
                may_be_text = content.unit == _LINE and not begins_as_object(record)
            first.append(record)
            size += len(record.payload)
            if (is_good(record) and not may_be_text) or size > _JUDGED_BYTES:
                break
    except DamageError as error:
        damage = error
    if first and (not any(map(is_good, first)) or (may_be_text and is_text(name, first))):
        raise no_events(first)
    yield from first
    if damage:
        raise damage
    yield from records


def _content(name: str, reader: SourceReader) -> _Archive | _Records:
    """Recognize the format, and start its reader."""
    magic = reader.peek(_MAGIC_BYTES)
    if reader.seekable and magic == _PARQUET_MAGIC:
        size = reader.raw.seek(0, os.SEEK_END)
        return _rows(reader.raw, lambda done, total: reader.report(size * done // total))
    if reader.seekable and magic in ZIP_MAGICS:
        return _Archive(zip_members(reader.raw))
    chunks = read_chunks(reader)
    head = next(chunks, b"")
    chunks = chain([head], chunks)
    if head.startswith(_PARQUET_MAGIC):
        # Progress is reported while the file is unpacked.
        return _rows(_unpacked(name, chunks), lambda _done, _total: None)
    if head.startswith(ZIP_MAGICS):
        return _Archive(zip_members(_unpacked(name, chunks)))
    if is_tar(head):
        return _Archive(tar_members(chunks))
    refuse_other_formats(head)
    if name.partition("?")[0].endswith(".br"):
        # Brotli has no signature in its bytes, and PostHog offers it for its JSONL exports.
        raise OtherContentError("brotli is not supported, run `brotli -d` first")
    return _text_records(head.removeprefix(_BYTE_ORDER_MARK), islice(chunks, 1, None))


def _rows(file: IO[bytes], on_rows: Callable[[int, int], None]) -> _Records:
    return _Records(_ROW, read_rows(file, on_rows))


def _unpacked(name: str, chunks: Iterator[bytes]) -> IO[bytes]:
    """A temporary file, because Parquet and zip are read from their end."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  closed with the last one who reads it
    try:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
    except OSError as error:
        folder = tempfile.gettempdir()
        raise SourceError(f"cannot unpack {name} in {folder}: {error.strerror}") from error
    return file


def _text_records(head: bytes, rest: Iterator[bytes]) -> _Records:
    text = head.lstrip()
    if text.startswith(b"["):
        return _elements(chain([text[1:]], rest), before=b"")
    if text.startswith(b"{"):
        start = batch_start(text) or results_start(text)
        if start is not None:
            return _elements(chain([text[start:]], rest), text[: start - 1])
        if _is_event(first_value(text)):
            return _unwrapped("value", read_values(chain([text[1:]], rest)))
        if text.partition(b"\n")[0].rstrip() == b"{":
            return _unwrapped("object", read_object(chain([text], rest)))
        return _unwrapped(_LINE, read_lines(chain([head], rest)))
    if delimiter := csv_delimiter(text):
        return _Records(_ROW, read_csv(chain([text], rest), delimiter, text))
    return _Records(_LINE, read_lines(chain([head], rest)))


def _is_event(text: bytes | None) -> bool:
    keys = object_keys(text) if text else None
    return keys is not None and ("event" in keys or is_wrapped(keys))


def _unwrapped(
    unit: str, records: Iterator[FileRecord], envelope: _Envelope = _NO_ENVELOPE
) -> _Records:
    """The records; where the first has another shape than an event, all are turned into events."""
    first = next(records, None)
    if first is None:
        return _Records(unit, iter(()), envelope)
    records = chain([first], records)
    keys = None if first.problem else object_keys(first.payload)
    if keys and is_wrapped(keys):
        return _Records(_ROW, map(object_record, records), envelope)
    return _Records(unit, records, envelope)


def _elements(chunks: Iterator[bytes], before: bytes) -> _Records:
    envelope = _Envelope()
    elements = envelope.of(read_elements(chunks, before))
    first = next(elements, None)
    if first is None:
        return _Records("element", iter(()), envelope)
    elements = chain([first], elements)
    if first.payload.startswith(b"["):
        return _Records(_ROW, _answer_rows(elements, before, envelope), envelope)
    return _unwrapped("element", elements, envelope)


def _answer_rows(
    rows: Iterator[FileRecord], before: bytes, envelope: _Envelope
) -> Iterator[FileRecord]:
    """The rows of the response to a query, whose columns may stand behind the rows."""
    columns = answer_columns(before + b"[]}")
    if columns is not None:
        check_columns(columns)
        for record in rows:
            yield answer_record(columns, record)
        return
    with tempfile.TemporaryFile() as file:
        for record in rows:
            # In JSON, no string holds a raw line break.
            file.write(record.payload.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")
        columns = answer_columns(envelope.text)
        if columns is None:
            raise OtherContentError("looks like rows without the names of their columns")
        check_columns(columns)
        file.seek(0)
        for record in read_lines(iter(lambda: file.read(CHUNK_BYTES), b"")):
            yield answer_record(columns, record)
