"""Files of events through `read_records`: formats, compression, and what damage costs."""

import gzip
import json

import pyarrow as pa
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enrichment_pipeline.ingest.files import (
    BrokenFileError,
    FileRecord,
    read_records,
)
from enrichment_pipeline_tests.ingest.stored_files import (
    COMPRESSIONS,
    EVENTS,
    parquet,
    payloads,
    stored,
)

# The first example of a process pays for imports, and machines under load pause.
unhurried = settings(deadline=None, max_examples=40)


def records_and_error(data: bytes) -> tuple[list[FileRecord], str]:
    """What came out of a file, and the message of its BrokenFileError ('' without one)."""
    records = []
    try:
        for record in read_records(stored(data)):
            records.append(record)  # noqa: PERF402  what came before the error is the point
    except BrokenFileError as error:
        return records, str(error)
    return records, ""


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # The characters that a scanner of structure could stumble over, in unlikely density.
    | st.text()
    | st.text(alphabet='"\\{}[],:\n '),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=5)


@st.composite
def object_texts(draw: st.DrawFn) -> bytes:
    return json.dumps(
        draw(json_objects),
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": ")])),
    ).encode()


spaces = st.text(alphabet=" \t\r\n", max_size=3).map(str.encode)


@unhurried
@given(st.lists(object_texts()), st.sampled_from(sorted(COMPRESSIONS)), st.data())
@pytest.mark.slow
def test_lines_come_back_exactly_as_they_were_written(
    objects: list[bytes], compression: str, data: st.DataObject
) -> None:
    line_break = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    mark = data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    end = data.draw(st.sampled_from([b"", line_break]))
    text = mark + line_break.join(objects) + end
    # One object alone, spread over lines, is another format; one `{}` is not.
    assert payloads(COMPRESSIONS[compression](text)) == objects


@unhurried
@given(st.lists(object_texts()), st.sampled_from(sorted(COMPRESSIONS)), st.data())
@pytest.mark.slow
def test_elements_of_an_array_come_back_exactly_as_they_were_written(
    objects: list[bytes], compression: str, data: st.DataObject
) -> None:
    spaced = [data.draw(spaces) + text + data.draw(spaces) for text in objects]
    text = data.draw(spaces) + b"[" + b",".join(spaced) + b"]" + data.draw(spaces)
    assert payloads(COMPRESSIONS[compression](text)) == objects


@unhurried
@given(st.lists(object_texts()), json_objects, json_objects)
@pytest.mark.slow
def test_the_batch_of_a_request_body_comes_back_exactly_as_it_was_written(
    objects: list[bytes], before: dict[str, object], after: dict[str, object]
) -> None:
    before.pop("batch", None)
    opening = json.dumps({**before, "batch": 0})[:-2]
    closing = json.dumps({"sent_at": 0, **after})[1:]
    text = opening.encode() + b"[" + b", ".join(objects) + b"], " + closing.encode()
    assert payloads(text) == objects


@unhurried
@given(
    st.lists(st.tuples(st.text(), json_objects)),
    st.sampled_from(sorted(COMPRESSIONS)),
    st.sampled_from(["zstd", "gzip", "snappy", "none"]),
)
@pytest.mark.slow
def test_rows_of_parquet_come_back_as_the_events_that_were_written(
    events: list[tuple[str, dict[str, object]]], compression: str, codec: str
) -> None:
    names = pa.array([name for name, _ in events], pa.string())
    properties = pa.array([json.dumps(value) for _, value in events], pa.string())
    data = parquet({"event": names, "properties": properties}, compression=codec)
    found = [json.loads(payload) for payload in payloads(COMPRESSIONS[compression](data))]
    assert found == [{"event": name, "properties": value} for name, value in events]


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """Good files of every kind, cut off or with bytes replaced."""
    text = draw(st.sampled_from([b"\n".join(EVENTS), b"[" + b",".join(EVENTS) + b"]"]))
    kinds = [compress(text) for compress in COMPRESSIONS.values()]
    kinds.append(parquet({"event": ["a", "b"], "properties": ["{}", "{}"]}))
    data = bytearray(draw(st.sampled_from(kinds)))
    for _ in range(draw(st.integers(0, 3))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


magics = st.sampled_from(
    [b"", b"[", b"{", b'{"batch":[', b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"]
)


@unhurried
@given(damaged_files() | st.builds(bytes.__add__, magics, st.binary()))
@example(b"[" * 100_000)
@example(b"{\n" + b'{"a":' * 100_000)
@example(b'{"batch":[]' + b"[" * 100_000)
def test_no_bytes_raise_anything_but_a_broken_file(data: bytes) -> None:
    records, error = records_and_error(data)
    assert "\n" not in error
    assert [record.position for record in records] == sorted({r.position for r in records})


@pytest.mark.parametrize(
    "data", [b"", b"\n \r\n\n", b"\xef\xbb\xbf", b"[]", b" [ \n] ", b'{"batch":[]}']
)
def test_a_file_without_events_yields_nothing(data: bytes) -> None:
    assert records_and_error(data) == ([], "")
    assert records_and_error(gzip.compress(data)) == ([], "")


def test_positions_are_lines_blank_ones_included() -> None:
    data = b'\n{"a": 1}\n\n  \nbroken\n{"a": 2}'
    assert list(read_records(stored(data))) == [
        FileRecord(b'{"a": 1}', 2),
        FileRecord(b"broken", 5),
        FileRecord(b'{"a": 2}', 6),
    ]


def test_a_broken_element_costs_itself_alone() -> None:
    data = b'[{"a": nope}, 7, {"b": 1], {"a": 2},]'
    assert list(read_records(stored(data))) == [
        FileRecord(b'{"a": nope}', 1),
        FileRecord(b"7", 2),
        FileRecord(b'{"b": 1]', 3),
        FileRecord(b'{"a": 2}', 4),
        FileRecord(b"", 5),
    ]


def test_a_line_over_20_mb_costs_that_line() -> None:
    long = b'{"a": "' + b"x" * 21 * 1024**2 + b'"}'
    records = list(read_records(stored(b'{"a": 1}\n' + long + b'\n{"a": 2}\n')))
    assert [record.position for record in records] == [1, 2, 3]
    assert records[1].problem == "longer than 20 MB"
    assert records[1].payload == long[: 64 * 1024]
    assert records[2] == FileRecord(b'{"a": 2}', 3)


def test_an_element_over_20_mb_costs_that_element() -> None:
    long = b'{"a": "' + b"x" * 21 * 1024**2 + b'"}'
    records = list(read_records(stored(b'[{"a": 1},' + long + b',{"a": 2}]')))
    assert [record.problem for record in records] == [None, "longer than 20 MB", None]
    assert records[1].payload == long[: 64 * 1024]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_compressed_file_cut_off_yields_all_complete_lines_and_then_says_where(
    compression: str,
) -> None:
    lines = [b'{"n": %d, "x": "%s"}' % (n, b"%x" % (n**40)) for n in range(300)]
    whole = COMPRESSIONS[compression](b"\n".join(lines) + b"\n")
    seen = set()
    for size in range(5, len(whole), 97):
        records, error = records_and_error(whole[:size])
        assert [record.payload for record in records] == lines[: len(records)]
        seen.add(len(records))
        place = f"after line {len(records)}" if records else "at the beginning"
        assert error == f"memory://events: {place}: the {compression} data is cut off"
    if compression == "gzip":
        assert len(seen) > 20


def test_every_member_of_a_gzip_file_is_read() -> None:
    # PostHog compresses each piece it writes by itself.
    data = b"".join(gzip.compress(event + b"\n") for event in EVENTS)
    assert payloads(data) == EVENTS


def test_every_frame_of_a_zstd_file_is_read() -> None:
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    data = skippable.join(zstandard.compress(event + b"\n") for event in EVENTS)
    assert payloads(data + skippable) == EVENTS


def test_garbage_behind_compressed_data_is_an_error_after_the_records() -> None:
    for compression in ("gzip", "zstd"):
        records, error = records_and_error(COMPRESSIONS[compression](b'{"a": 1}\n') + b"garbage")
        assert records == [FileRecord(b'{"a": 1}', 1)]
        assert error.startswith(f"memory://events: after line 1: the {compression} data is damaged")


@pytest.mark.parametrize(
    ("data", "count", "error"),
    [
        (b'[{"a": 1}, {"a": 2}', 1, "after element 1: the text ends before the array is closed"),
        (b'[{"a": 1}, {"a": "', 1, "after element 1: the text ends before the array is closed"),
        (b'[{"a": 1}] [{"a": 2}]', 1, "after element 1: wrong text after the end of the array"),
        (b'{"batch": [{"a": 1}]', 1, "after element 1: wrong text after the end of the array"),
        (b'{"batch": [{}]}\n{"batch": []}', 1, "after element 1: wrong text after the end of the"),
        (b'{\n"a": 1\n}\n{\n"a": 2\n}', 0, "at the beginning: text of several lines that is not"),
    ],
)
def test_text_that_cannot_be_cut_further_is_an_error_that_says_where(
    data: bytes, count: int, error: str
) -> None:
    records, message = records_and_error(data)
    assert len(records) == count
    assert message.startswith(f"memory://events: {error}")


def test_a_pretty_printed_object_is_one_event() -> None:
    text = json.dumps({"event": "a", "properties": {"batch": [1, {}]}}, indent=2).encode()
    assert payloads(text + b"\n") == [text]


def test_a_pretty_printed_request_body_is_its_batch() -> None:
    text = json.dumps({"api_key": "k", "batch": [{"event": "a"}, {"event": "b"}]}, indent=2)
    found = [json.loads(payload) for payload in payloads(text.encode())]
    assert found == [{"event": "a"}, {"event": "b"}]


def test_a_batch_inside_the_properties_does_not_make_a_request_body() -> None:
    line = b'{"event": "a", "properties": {"batch": [{}], "x": "\\"batch\\": ["}, "list": [1]}'
    assert payloads(line + b"\n" + line) == [line, line]
