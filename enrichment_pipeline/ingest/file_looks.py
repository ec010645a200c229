"""What a file without events looks like, in one line that says what to do.

Reading files of events belongs to `files`; this module is for all others.
"""

import re
from collections.abc import Sequence

from enrichment_pipeline.events.masked import masked_list
from enrichment_pipeline.ingest.file_csv import table_columns
from enrichment_pipeline.ingest.file_records import FileRecord, OtherContentError
from enrichment_pipeline.ingest.file_rows import object_keys

_BINARY = (
    (b"BZh", "bzip2 data", "unpack it with bunzip2, and import what is in it"),
    (b"\xfd7zXZ\x00", "xz data", "unpack it with unxz, and import what is in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it, and import what is in it"),
    (b"Rar!", "a RAR archive", "unpack it, and import what is in it"),
    (b"\x04\x22\x4d\x18", "LZ4 data", "unpack it with unlz4, and import what is in it"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy data", "unpack it, and import what is in it"),
    (b"Obj\x01", "Avro", "export as Parquet or JSONL"),
    (b"ORC", "ORC", "export as Parquet or JSONL"),
    (b"ARROW1", "an Arrow file", "export as Parquet or JSONL"),
    (b"SQLite format 3", "an SQLite database", "export its table of events as CSV"),
    (b"PGDMP", "a dump of PostgreSQL", "restore it, and export its table of events as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file", "save it as CSV"),
    (b"%PDF", "a PDF", ""),
    (b"\x89PNG", "an image", ""),
    (b"GIF8", "an image", ""),
    (b"\xff\xd8\xff", "an image", ""),
    (
        b"\xff\xfe",
        "text in UTF-16",
        "save it as UTF-8, or convert it with iconv -f UTF-16 -t UTF-8",
    ),
    (
        b"\xfe\xff",
        "text in UTF-16",
        "save it as UTF-8, or convert it with iconv -f UTF-16 -t UTF-8",
    ),
)
_WHAT_IS_READ = (
    "import reads PostHog's exports: JSONL, JSON, CSV with a header, or Parquet, plain, gzip, "
    "zstd, zip or tar"
)
_SOMEBODY = re.compile(rb'"\$?distinct_id"')
_NAMED = b'"event"'
_EVENT_KEYS = frozenset({"event", "distinct_id", "$distinct_id"})
_SEGMENTS = b'"messageId"'

_OBJECT = re.compile(rb'\s*\{\s*["}]')
_FENCE = re.compile(rb"\s*(?:`{3}|~{3})")
_OF_LINES = frozenset({"json", "jsonl", "ndjson"})
_COMPRESSED = frozenset({"gz", "gzip", "zst", "zstd"})


def refuse_other_formats(head: bytes) -> None:
    """Raise OtherContentError if a file that begins like `head` has a known, unsupported format."""
    for magic, what, todo in _BINARY:
        if head.startswith(magic):
            raise _other(what, todo)
    if b"\0" in head[:1024]:
        raise _other("binary data of a kind that is not known")


def is_of_somebody(record: FileRecord) -> bool:
    """Whether a record may be an event that names its person."""
    return _SOMEBODY.search(record.payload) is not None


def is_like_event(record: FileRecord) -> bool:
    """Whether a record may be an event, even a broken one. An object that only quotes an event,
    such as a page of documentation, is none."""
    keys = object_keys(record.payload)
    if keys is not None and _EVENT_KEYS.isdisjoint(keys):
        return False
    if is_of_somebody(record):
        return True
    return _NAMED in record.payload and _SEGMENTS not in record.payload


def begins_as_object(record: FileRecord) -> bool:
    """Whether a line is a JSON object, or was one before it was broken."""
    return _OBJECT.match(record.payload) is not None


def is_text(name: str, lines: Sequence[FileRecord]) -> bool:
    """Whether these first lines of a file, the first of them no JSON object, are text that quotes
    events, and not lines of events of which some are broken.

    A name that ends in .jsonl or the like says that they are events. Without an extension, one line
    that is an object is enough, unless there are Markdown's fences; with any other, such as .md or
    .log, most lines must be.
    """
    ending = _ending(name)
    if ending in _OF_LINES:
        return False
    objects = sum(map(begins_as_object, lines))
    if ending:
        return 2 * objects < len(lines)
    return not objects or any(_FENCE.match(line.payload) for line in lines)


def _ending(name: str) -> str:
    """The extension of a file's name, without those of compression; nothing where it has none."""
    stem, *endings = name.partition("?")[0].replace("\\", "/").rpartition("/")[2].split(".")
    endings = [one.lower() for one in endings if one.lower() not in _COMPRESSED]
    return endings[-1] if stem and endings else ""


def no_events(records: Sequence[FileRecord]) -> OtherContentError:
    """The error for a file whose first records these are, none of them like an event."""
    head = b"\n".join(record.payload for record in records[:2])
    start = head.lstrip()[:1024].lower()
    keys = object_keys(records[0].payload)
    if keys is not None and is_like_event(records[0]):
        return OtherContentError(
            "looks like events without a distinct_id, so nobody knows whose they are: in PostHog "
            "choose 'Export all columns', or add distinct_id, uuid, timestamp and properties to "
            "the query"
        )
    if keys is not None:
        return _other(
            f"JSON without PostHog's events (its keys: {masked_list(keys)})",
            "an event has event, distinct_id, timestamp and properties",
        )
    if start.startswith((b"<!doctype", b"<html")):
        return _other("a web page", "download the file itself; the page may ask to log in")
    if start.startswith(b"<"):
        return _other("XML")
    if any(map(is_like_event, records)):
        return _other(
            "text that quotes events",
            "to import these, put them in a file of their own, one a line, named .jsonl",
        )
    if start.startswith((b"{", b"[")):
        return _other("JSON that breaks off or is damaged")
    if columns := table_columns(head):
        return _other(
            f"a table without the columns of events (its first line: {masked_list(columns)})",
            "its first line must name them: uuid, event, distinct_id, timestamp, properties",
        )
    return _other("a text file")


def _other(what: str, todo: str = "") -> OtherContentError:
    return OtherContentError(f"looks like {what}, not like events: {todo or _WHAT_IS_READ}")
