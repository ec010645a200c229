"""Files of events through `read_records`: formats, compression, damage, sources, progress."""

import gzip
import io
import json
import random
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enrichment_pipeline.ingest.files import (
    BrokenFileError,
    FileRecord,
    SourceError,
    read_records,
    source_size,
)

# The first example of a process pays for imports, and machines under load pause.
unhurried = settings(deadline=None, max_examples=40)

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


def stored(data: bytes) -> str:
    """A URL under which `data` can be read."""
    fsspec.filesystem("memory").pipe("/events", data)
    return "memory://events"


def payloads(data: bytes) -> list[bytes]:
    return [record.payload for record in read_records(stored(data))]


def records_and_error(data: bytes) -> tuple[list[FileRecord], str]:
    """What came out of a file, and the message of its BrokenFileError ('' without one)."""
    records = []
    try:
        for record in read_records(stored(data)):
            records.append(record)  # noqa: PERF402  what came before the error is the point
    except BrokenFileError as error:
        return records, str(error)
    return records, ""


def parquet(columns: dict[str, object], **options: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **options)
    return file.getvalue()


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
def test_elements_of_an_array_come_back_exactly_as_they_were_written(
    objects: list[bytes], compression: str, data: st.DataObject
) -> None:
    spaced = [data.draw(spaces) + text + data.draw(spaces) for text in objects]
    text = data.draw(spaces) + b"[" + b",".join(spaced) + b"]" + data.draw(spaces)
    assert payloads(COMPRESSIONS[compression](text)) == objects


@unhurried
@given(st.lists(object_texts()), json_objects, json_objects)
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


def test_the_columns_of_a_posthog_export_become_an_event() -> None:
    moment = datetime(2026, 11, 23, 7, 23, 45, 781000, tzinfo=UTC)
    data = parquet(
        {
            "uuid": ["01a2074a-16f5-75be-ae39-7a682b08770e"],
            "event": ["$pageview"],
            "distinct_id": ["user-1"],
            "person_id": pa.array([None], pa.string()),
            "properties": ['{"$os": "Linux", "exact": 1.0, "big": 1e400}'],
            "person_properties": [""],
            "elements_chain": [""],
            "timestamp": pa.array([moment], pa.timestamp("us", "UTC")),
            "created_at": pa.array([moment.replace(tzinfo=None)], pa.timestamp("ns")),
            "_inserted_at": pa.array(
                [moment.astimezone(timezone(timedelta(hours=2)))], pa.timestamp("ms", "+02:00")
            ),
        }
    )
    assert list(read_records(stored(data))) == [
        FileRecord(
            b'{"uuid":"01a2074a-16f5-75be-ae39-7a682b08770e","event":"$pageview",'
            b'"distinct_id":"user-1",'
            b'"properties":{"$os": "Linux", "exact": 1.0, "big": 1e400},"elements_chain":"",'
            b'"timestamp":"2026-11-23T07:23:45.781000Z","created_at":"2026-11-23T07:23:45.781000Z",'
            b'"_inserted_at":"2026-11-23T07:23:45.781000Z"}',
            1,
        )
    ]


def test_a_row_with_broken_json_has_a_problem_and_its_neighbours_have_none() -> None:
    data = parquet({"event": ["a", "b", "c"], "properties": ["{}", "{nope", '{"x": 1}']})
    records = list(read_records(stored(data)))
    assert [record.problem for record in records] == [
        None,
        "column properties is not valid JSON",
        None,
    ]
    assert json.loads(records[1].payload) == {"event": "b", "properties": "{nope"}


def test_properties_kept_as_a_struct_become_an_object() -> None:
    data = parquet({"event": ["a"], "properties": [{"$os": "Linux", "tags": ["x"]}]})
    assert json.loads(payloads(data)[0])["properties"] == {"$os": "Linux", "tags": ["x"]}


def test_parquet_without_events_is_refused_in_one_line() -> None:
    with pytest.raises(BrokenFileError, match=r"no column 'event', so no events; it has id, name$"):
        list(read_records(stored(parquet({"id": [1], "name": ["x"]}))))


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"^cannot read nowhere\.jsonl: No such file"):
        list(read_records("nowhere.jsonl"))
    with pytest.raises(SourceError, match=r"^cannot read nowhere\.jsonl: No such file"):
        source_size("nowhere.jsonl")
    with pytest.raises(SourceError, match=r"^cannot read memory://nowhere: "):
        list(read_records("memory://nowhere"))


def test_a_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"Is a directory$"):
        list(read_records(str(tmp_path)))


def test_a_file_system_whose_package_is_missing_is_one_line() -> None:
    fsspec.register_implementation(
        "unpackaged", "no_such_package.FileSystem", errtxt="Install no_such_package to access it"
    )
    expected = "^cannot read unpackaged://x: a package is missing: Install no_such_package"
    with pytest.raises(SourceError, match=expected):
        list(read_records("unpackaged://x"))
    with pytest.raises(SourceError, match=expected):
        source_size("unpackaged://x")


def test_an_unknown_protocol_is_one_line() -> None:
    with pytest.raises(SourceError, match=r"^cannot read nonsense://x: Protocol not known"):
        list(read_records("nonsense://x"))


def test_brotli_is_refused_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl.br"
    file.write_bytes(b"\x0b\x02\x80abc\x03")
    with pytest.raises(SourceError, match="brotli is not supported, run `brotli -d` first"):
        list(read_records(str(file)))


def test_a_read_that_fails_half_way_says_where() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= len(b"\n".join(EVENTS)):
                raise ConnectionResetError("connection reset\nby peer")
            return super().read(size)

    class FailingFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
        protocol = "failing"

        def _open(self, path: str, mode: str = "rb", **options: object) -> io.BytesIO:
            return Failing(b"\n".join(EVENTS))

    fsspec.register_implementation("failing", FailingFileSystem, clobber=True)
    with pytest.raises(BrokenFileError, match="after line 2: reading failed: connection reset by"):
        list(read_records("failing://x"))


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
@pytest.mark.parametrize("kind", ["lines", "array", "parquet"])
def test_progress_grows_and_ends_at_the_size_of_the_source(
    tmp_path: Path, compression: str, kind: str
) -> None:
    lines = [b'{"event": "%d", "x": "%x"}' % (n, n**200) for n in range(3000)]
    data = {
        "lines": b"\n".join(lines),
        "array": b"[" + b",".join(lines) + b"]",
        "parquet": parquet({"event": [line.decode() for line in lines]}),
    }[kind]
    file = tmp_path / "events"
    file.write_bytes(COMPRESSIONS[compression](data))
    for source in (str(file), f"file://{file}"):
        steps: list[int] = []
        assert sum(1 for _ in read_records(source, steps.append)) == 3000
        assert steps == sorted(steps)
        assert len(steps) > 1
        assert steps[-1] == source_size(source) == file.stat().st_size


def peak_memory(source: str) -> int:
    """Bytes that Python held at most while the source was read."""
    tracemalloc.start()
    try:
        for _ in read_records(source):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
@pytest.mark.parametrize("kind", ["lines", "array"])
def test_memory_stays_flat_however_large_the_file(
    tmp_path: Path, kind: str, compression: str
) -> None:
    before, between, after = {"lines": (b"", b"\n", b""), "array": (b"[", b",", b"]")}[kind]
    event = b'{"event": "a", "properties": {"x": "%s"}}'
    events = [event % random.Random(n).randbytes(1200).hex().encode() for n in range(10_000)]
    file = tmp_path / "events"
    file.write_bytes(COMPRESSIONS[compression](before + between.join(events) + after))
    assert peak_memory(str(file)) < 5_000_000  # of 24 MB


def test_a_bomb_is_unpacked_piece_by_piece(tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(zstandard.compress(b"x" * 300_000_000))
    assert peak_memory(str(file)) < 80_000_000
