"""Rows of CSV and TSV with a header, as PostHog's UI, HogQL, ClickHouse and warehouses write them.

Which columns make an event belongs to `file_rows`.
"""

import codecs
import csv
from collections.abc import Iterator

from enrichment_pipeline.events.raw_event import RejectionReason
from enrichment_pipeline.file_systems import one_line
from enrichment_pipeline.ingest.file_records import MAX_RECORD_BYTES, DamageError, FileRecord
from enrichment_pipeline.ingest.file_rows import (
    are_events,
    check_columns,
    encoded_record,
    event_record,
)
from enrichment_pipeline.wording import counted

_DELIMITERS = (",", ";", "\t", "|")

# The most that the csv module takes for a cell by default.
_HEADER_BYTES = 64 * 1024

# ClickHouse's TabSeparated writes no quotes, and a backslash before special characters.
_BARE_JSON = b'\t{"'
_ESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "'": "'"}


def csv_delimiter(head: bytes) -> str | None:
    """The column delimiter, if a text that begins like `head` is a table of events; else None."""
    names = {delimiter: header(head, delimiter) for delimiter in _DELIMITERS}
    return next((d for d, found in names.items() if len(found) > 1 and are_events(found)), None)


def table_columns(head: bytes) -> list[str] | None:
    """The columns, if a text that begins like `head` is any table; else None."""
    lines = head.splitlines()[:2]
    for delimiter in _DELIMITERS:
        cells = [header(line, delimiter) for line in lines]
        if len(cells) == 2 and len(cells[0]) == len(cells[1]) > 1:
            return cells[0]
    return None


def header(head: bytes, delimiter: str) -> list[str]:
    """The cells of the first line."""
    line = next(iter(head[:_HEADER_BYTES].splitlines()), b"").decode(errors="replace")
    return next(csv.reader([line], delimiter=delimiter), [])


def read_csv(chunks: Iterator[bytes], delimiter: str, head: bytes) -> Iterator[FileRecord]:
    """One record for each row; `head` is the beginning of the text.

    A row with too many or too few cells has a problem. Raises DamageError where a quote is never
    closed, or no events can be in it.
    """
    # Limits a cell: an open quote would make one of the whole rest.
    csv.field_size_limit(MAX_RECORD_BYTES)
    is_escaped = delimiter == "\t" and _BARE_JSON in head
    lines = _lines(chunks)
    if is_escaped:
        rows = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        rows = csv.reader(lines, delimiter=delimiter)
    names = next(rows)
    check_columns(names)
    number = 0
    try:
        for row in rows:
            if row:
                number += 1
                yield _record(names, [_unescaped(c) for c in row] if is_escaped else row, number)
    except csv.Error as error:
        raise DamageError(
            f"the CSV is damaged: {one_line(error)}: is a quote left open?"
        ) from error


def _record(names: list[str], row: list[str], number: int) -> FileRecord:
    # An empty cell counts as missing: CSV has no other way to say that there is no value.
    cells = {name: cell for name, cell in zip(names, row, strict=False) if cell}
    if len(row) != len(names):
        problem = (
            f"a row of {counted(len(row), 'cell')} in a table of {counted(len(names), 'column')}"
        )
        record = encoded_record(cells, number)
        return record._replace(problem=problem, reason=RejectionReason.INVALID_JSON)
    return event_record(cells, number)


def _unescaped(cell: str) -> str:
    if cell == "\\N":
        return ""
    first, *others = cell.split("\\")
    if not others:
        return cell
    text, pieces = [first], iter(others)
    for piece in pieces:
        if piece:
            text.append(_ESCAPES.get(piece[0], piece[0]) + piece[1:])
        else:
            # Two backslashes are one; the next piece is taken literally.
            text.append("\\" + next(pieces, ""))
    return "".join(text)


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    """The lines of a text, with their ends."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    held = ""
    for chunk in chunks:
        *lines, held = (held + decoder.decode(chunk)).split("\n")
        yield from (f"{line}\n" for line in lines)
        if len(held) > MAX_RECORD_BYTES:
            raise DamageError(f"a line longer than {MAX_RECORD_BYTES // 1024**2} MB")
    if held := held + decoder.decode(b"", final=True):
        yield held
