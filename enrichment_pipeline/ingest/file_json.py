"""Cutting events out of JSON text that comes in chunks: lines, arrays, request bodies and answers
of PostHog's APIs, one object, an object of objects.

This module finds where events begin and end. Whether an event is valid is decided by the parser of
events: a broken event is cut out like any other, so that it costs no other event.
"""

import re
from collections.abc import Generator, Iterator
from itertools import chain, islice
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from enrichment_pipeline.events.text import readable_json
from enrichment_pipeline.ingest.file_records import (
    MAX_RECORD_BYTES,
    DamageError,
    FileRecord,
    Partial,
    capped_record,
)

_JSON_SPACE = b" \t\r\n"
_QUOTE, _OPEN, _CLOSE, _COMMA = 1, 2, 3, 4
_KINDS = bytes.maketrans(
    bytes(range(256)),
    bytes(
        {'"': _QUOTE, "[": _OPEN, "{": _OPEN, "]": _CLOSE, "}": _CLOSE, ",": _COMMA}.get(chr(b), 0)
        for b in range(256)
    ),
)
_BATCH = re.compile(rb'"batch"[ \t\r\n]*:[ \t\r\n]*\[')
_RESULTS = re.compile(rb'"(?:results?|events|data)"[ \t\r\n]*:[ \t\r\n]*\[')
_KEY = re.compile(rb'"(?:[^"\\]|\\.)*"[ \t\r\n]*:[ \t\r\n]*')

# Arrays that might be the events of a body but are its other fields: no sender has as many.
_MOST_ARRAYS = 1_000

# The scan of a piece that is nothing but brackets takes twenty times its size.
_PIECE_BYTES = 64 * 1024


def read_lines(chunks: Iterator[bytes]) -> Iterator[FileRecord]:
    """One record for each line that is not blank, without its line break (LF or CRLF)."""
    number = 0
    partial = Partial()
    for chunk in chunks:
        first, *lines = chunk.split(b"\n")
        partial.add(first)
        if not lines:
            continue
        number += 1
        yield from _unless_blank(partial.take(number))
        partial.add(lines.pop())
        for line in lines:
            number += 1
            yield from _unless_blank(capped_record(line, number, len(line)))
    yield from _unless_blank(partial.take(number + 1))


def _unless_blank(line: FileRecord) -> tuple[FileRecord, ...]:
    payload = line.payload
    if line.problem is not None:
        return (line,)
    if not payload or payload.isspace():
        return ()
    return (line._replace(payload=payload[:-1]) if payload.endswith(b"\r") else line,)


def read_object(chunks: Iterator[bytes]) -> Iterator[FileRecord]:
    """The one record of a file that is a single object, spread over several lines.

    Raises DamageError where the file is not valid JSON: its lines are no events, and thousands of
    broken records would hide what is wrong.
    """
    text = Partial()
    for chunk in chunks:
        text.add(chunk)
    record = text.take(1)
    if record.problem is None:
        record = record._replace(payload=record.payload.strip(_JSON_SPACE))
        if not _is_json(record.payload):
            raise DamageError(
                "text of several lines that is not one JSON object; write one event a line"
                " (jq -c .) or an array (jq -s .)"
            )
    yield record


def batch_start(head: bytes) -> int | None:
    """Where the events of a request body begin, behind the `[` of its `"batch"`, or None.

    `head` is the beginning of the file. A `batch` inside the properties of an event does not count.
    """
    return _array_start(head, _BATCH)


def results_start(head: bytes) -> int | None:
    """Where the events of a response of PostHog's APIs begin, behind the `[` of its `"results"`, or
    None; an event that has such a field is not a response."""
    start = _array_start(head, _RESULTS)
    if start is None:
        return None
    opened, closed = _values_of(head[:start])
    ends = [-1, *closed]
    keys = b"".join(head[end + 1 : begin] for end, begin in zip(ends, opened, strict=True))
    return None if b'"event"' in keys else start


def _array_start(head: bytes, arrays: re.Pattern[bytes]) -> int | None:
    found = islice(arrays.finditer(head), _MOST_ARRAYS)
    ends = np.fromiter((match.end() - 1 for match in found), np.intp)
    if not len(ends):
        return None
    for opened, _ in _first_level(head):
        starts = np.intersect1d(opened, ends)
        if len(starts):
            return int(starts[0]) + 1
    return None


def first_value(head: bytes) -> bytes | None:
    """The first value of an object that begins like `head`, if it is an object and ends there."""
    key = _KEY.match(head[1:].lstrip(_JSON_SPACE))
    opened, closed = _values_of(head)
    if key is None or not opened or not closed:
        return None
    value = head[opened[0] : closed[0] + 1]
    between = head[1 : opened[0]].lstrip(_JSON_SPACE)
    return value if value.startswith(b"{") and between == key[0] else None


def _values_of(head: bytes) -> tuple[list[int], list[int]]:
    """Where the arrays and objects within the first object begin and end."""
    opened: list[int] = []
    closed: list[int] = []
    for begins, ends in _first_level(head):
        opened.extend(begins.tolist())
        closed.extend(ends.tolist())
    return opened, closed


def _first_level(head: bytes) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """`_values_of`, piece by piece: a text may be long, and its first values may be enough."""
    for before, marks in _scanned(head):
        finished = np.flatnonzero(marks.depth == 0)
        inside = slice(0, int(finished[0]) if len(finished) else None)
        at, kind, depth = marks.at[inside] + before, marks.kind[inside], marks.depth[inside]
        yield at[(kind == _OPEN) & (depth == 2)], at[(kind == _CLOSE) & (depth == 1)]
        if len(finished):
            break


def read_values(chunks: Iterator[bytes]) -> Iterator[FileRecord]:
    """One record for each value of an object whose `{` was just read."""
    for record in read_elements(chunks, envelope=b""):
        key = _KEY.match(record.payload)
        yield record._replace(payload=record.payload[key.end() :]) if key else record


def read_elements(
    chunks: Iterator[bytes], envelope: bytes
) -> Generator[FileRecord, None, bytearray]:
    """One record for each element of an array whose `[` was just read.

    `envelope` is the text before that `[`: nothing for an array, the beginning of the object for a
    request body. An element between two commas that is empty is a record without payload. Returns
    the text around the array, with an empty one in its place. Raises DamageError where the array is
    never closed, or the text around it is not valid JSON.
    """
    scanner = _Scanner(depth=1)
    number = 0
    partial = Partial()
    chunks = _with_whole_escapes(chunks)
    for chunk in chunks:
        marks = scanner.scan(chunk)
        ends = np.flatnonzero(marks.depth == 0)
        inside = slice(0, int(ends[0]) if len(ends) else None)
        commas = (marks.kind[inside] == _COMMA) & (marks.depth[inside] == 1)
        start = 0
        for cut in marks.at[inside][commas].tolist():
            partial.add(chunk[start:cut])
            number += 1
            yield _stripped(partial.take(number))
            start = cut + 1
        if len(ends):
            end = int(marks.at[ends[0]])
            partial.add(chunk[start:end])
            last = _stripped(partial.take(number + 1))
            if last.payload or number:
                yield last
            return _whole_envelope(envelope, chain([chunk[end + 1 :]], chunks))
        partial.add(chunk[start:])
    raise DamageError("the text ends before the array is closed")


def is_whole_object(text: bytes) -> bool:
    """Whether every bracket of a text that begins with `{` is closed, the first one last; whatever
    stands between them."""
    for before, marks in _scanned(text):
        closed = np.flatnonzero(marks.depth == 0)
        if len(closed):
            return not text[before + int(marks.at[closed[0]]) + 1 :].strip(_JSON_SPACE)
    return False


def pieces(text: bytes, start: int = 0) -> Iterator[bytes]:
    """A text from `start` on, in pieces whose structure takes little memory."""
    return (text[at : at + _PIECE_BYTES] for at in range(start, len(text), _PIECE_BYTES))


def _scanned(text: bytes) -> Iterator[tuple[int, "_Marks"]]:
    """The structure of a text piece by piece, each with the offset of the piece."""
    scanner = _Scanner(depth=0)
    before = 0
    for piece in _with_whole_escapes(pieces(text)):
        yield before, scanner.scan(piece)
        before += len(piece)


def _stripped(record: FileRecord) -> FileRecord:
    return record._replace(payload=record.payload.strip(_JSON_SPACE))


def _whole_envelope(before: bytes, after: Iterator[bytes]) -> bytearray:
    text = bytearray(before + b"[]")
    for chunk in after:
        text += chunk
        if len(text) > MAX_RECORD_BYTES:
            break
    if not _is_json(text):
        raise DamageError(
            "wrong text after the end of the array; a file holds one array, one request body, or"
            " one event a line"
        )
    return text


def _is_json(text: bytes | bytearray) -> bool:
    try:
        msgspec.json.decode(readable_json(bytes(text)), type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _with_whole_escapes(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same text, cut so that no chunk ends between a backslash and what it escapes."""
    held = b""
    for chunk in chunks:
        text = held + chunk
        backslashes = len(text) - len(text.rstrip(b"\\"))
        held = b"\\" if backslashes % 2 else b""
        if whole := text[: len(text) - len(held)]:
            yield whole
    if held:
        yield held


class _Marks(NamedTuple):
    """The brackets and commas of a chunk that stand outside strings, in order.

    `at`: offset in the chunk; `kind`: _OPEN, _CLOSE or _COMMA; `depth`: how many brackets are open
    behind the mark.
    """

    at: npt.NDArray[np.intp]
    kind: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.int64]


class _Scanner:
    """Finds the structure of JSON text chunk by chunk, remembering strings and depth between them.

    It works on whole arrays of offsets, because a loop over the characters (or over the matches of
    a regular expression) in Python is six to ten times slower.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._in_string = False

    def scan(self, chunk: bytes) -> _Marks:
        if b"\\" in chunk:
            # Of equal length, so that offsets stay true. Pairs go first: in \\" the quote is real.
            chunk = chunk.replace(b"\\\\", b"__").replace(b'\\"', b"__")
        codes = np.frombuffer(chunk.translate(_KINDS), np.uint8)
        at = np.flatnonzero(codes != 0)
        kind = codes[at]
        quote = kind == _QUOTE
        in_string = np.logical_xor.accumulate(quote) ^ self._in_string
        outside = np.flatnonzero(~(in_string | quote))
        if len(in_string):
            self._in_string = bool(in_string[-1])
        at, kind = at[outside], kind[outside]
        steps = (kind == _OPEN).astype(np.int8) - (kind == _CLOSE)
        depth = np.cumsum(steps, dtype=np.int64) + self._depth
        if len(depth):
            self._depth = int(depth[-1])
        return _Marks(at, kind, depth)
