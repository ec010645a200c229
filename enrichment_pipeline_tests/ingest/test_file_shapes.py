"""What PostHog's UI and APIs, ClickHouse, warehouses and Airbyte write, and archives of that."""

import csv
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from enrichment_pipeline.ingest.files import BrokenFileError, SourceError, read_events
from enrichment_pipeline_tests.ingest.stored_files import parquet, stored

UUIDS = ("01a2074a-16f5-75be-ae39-7a682b08770e", "01a2074a-16f5-75be-ae39-7a682b08770f")
TIMES = ("2026-03-01T12:00:00.123000Z", "2026-03-01T12:00:01Z")
# Numbers that a float would not keep, and what CSV has to quote.
PROPERTIES = (
    '{"$browser": "Safari", "price": 1.10, "big": 12345678901234567890, "t": "a,\\"b\\"\\n;"}'
)

EVENTS = [
    {"uuid": uuid, "event": "$pageview", "distinct_id": "u", "timestamp": time}
    for uuid, time in zip(UUIDS, TIMES, strict=True)
]
COLUMNS = ["uuid", "event", "distinct_id", "timestamp", "properties"]
ROWS = [[*event.values(), PROPERTIES] for event in EVENTS]


def table(columns: list[str], rows: list[list[Any]], **options: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text, **options).writerows([columns, *rows])
    return text.getvalue().encode()


def api_event(event: dict[str, str]) -> dict[str, object]:
    """An event as the events API and Airbyte's source have it."""
    fields: dict[str, object] = {"id": event["uuid"], **event, "properties": {"$browser": "Safari"}}
    del fields["uuid"]
    return {**fields, "person": None, "elements": [], "elements_chain": ""}


def dumped(value: object, **options: Any) -> bytes:
    return json.dumps(value, **options).encode()


def lines(values: list[Any]) -> bytes:
    return b"\n".join(map(dumped, values))


API_EVENTS = [api_event(event) for event in EVENTS]
FULL_EVENTS = [{**event, "properties": {"$browser": "Safari"}} for event in EVENTS]
ANSWER = {"columns": COLUMNS, "hasMore": False, "types": ["UUID"] * 5}
STARRED = [[{**event}, event["event"], "Safari"] for event in FULL_EVENTS]
STAR_COLUMNS = ["*", "event", "properties.$browser"]
UI_COLUMNS = ["*.uuid", "*.event", "*.distinct_id", "*.timestamp", "*.properties.$browser", "event"]
UI_ROWS = [[*event.values(), "Safari", event["event"]] for event in EVENTS]

FILES = {
    "CSV of HogQL": table(COLUMNS, ROWS),
    "CSV with a byte order mark": b"\xef\xbb\xbf" + table(COLUMNS, ROWS),
    "CSV with LF": table(COLUMNS, ROWS, lineterminator="\n"),
    "CSV with semicolons": table(COLUMNS, ROWS, delimiter=";"),
    "TSV of Excel": table(COLUMNS, ROWS, delimiter="\t"),
    "TSV of ClickHouse": b"\n".join(
        "\t".join(row).replace("\\", "\\\\").encode() for row in [COLUMNS, *ROWS]
    ),
    "CSV of a warehouse": table([column.upper() for column in COLUMNS], ROWS),
    "CSV of calls": table(["toString(uuid)", *COLUMNS[1:4], "toString(properties)"], ROWS),
    "CSV of the events API": table(
        ["id", "distinct_id", "properties.$browser", "event", "timestamp", "person"],
        [[e["uuid"], "u", "Safari", e["event"], e["timestamp"], ""] for e in EVENTS],
    ),
    "CSV of the UI, all columns": table(UI_COLUMNS, UI_ROWS),
    "CSV of the UI, a person's ids": table(
        ["uuid", "event", "person.distinct_ids.0", "timestamp", "properties.$browser"],
        [[*event.values(), "Safari"] for event in EVENTS],
    ),
    "CSV of Airbyte": table(
        ["_airbyte_ab_id", "_airbyte_emitted_at", "_airbyte_data"],
        [["1", "2", json.dumps(event)] for event in API_EVENTS],
    ),
    "a page of the events API": dumped({"next": None, "previous": None, "results": API_EVENTS}),
    "a pretty page of it": dumped({"next": None, "results": API_EVENTS}, indent=2),
    "a list of its events": dumped(API_EVENTS),
    "its events by line": lines(API_EVENTS),
    "an answer of the query API": dumped({**ANSWER, "results": ROWS}),
    "a pretty answer": dumped({**ANSWER, "results": ROWS}, indent=2),
    "an answer, its columns last": dumped({"results": ROWS, **ANSWER}),
    "a pretty answer, its columns last": dumped({"results": ROWS, **ANSWER}, indent=2),
    "an answer with *": dumped({"columns": STAR_COLUMNS, "results": STARRED}),
    "a list of rows of the UI": dumped(
        [dict(zip(UI_COLUMNS, row, strict=True)) for row in UI_ROWS], indent=4
    ),
    "a list of rows with *": dumped([{"*": event, "event": "x"} for event in FULL_EVENTS]),
    "an object of events": dumped({str(n): event for n, event in enumerate(FULL_EVENTS)}),
    "a pretty object of events": dumped({e["uuid"]: e for e in FULL_EVENTS}, indent=2),
    "lines of Airbyte": lines(
        [{"_airbyte_raw_id": "1", "_airbyte_meta": {}, "_airbyte_data": e} for e in API_EVENTS]
    ),
    "flattened lines of Airbyte": lines([{"_airbyte_raw_id": "1", **e} for e in API_EVENTS]),
    "Parquet of ClickHouse before 2024": parquet(
        {
            column: pa.array([value.encode() for value in values], pa.binary())
            for column, values in zip(COLUMNS, zip(*ROWS, strict=True), strict=True)
        }
    ),
    "Parquet with LowCardinality, a map and a binary uuid": parquet(
        {
            "uuid": pa.array([bytes.fromhex(u.replace("-", "")) for u in UUIDS], pa.binary(16)),
            "event": pa.array([b"$pageview"] * 2, pa.binary()).dictionary_encode(),
            "distinct_id": pa.array([b"u\0\0"] * 2, pa.binary(3)),
            "timestamp": list(TIMES),
            "properties": pa.array(
                [[(b"$browser", b"Safari")]] * 2, pa.map_(pa.binary(), pa.binary())
            ),
        }
    ),
    "Parquet of Airbyte": parquet({"_airbyte_data": [json.dumps(e) for e in API_EVENTS]}),
}


def found(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(record.payload) for record in read_events(stored(data))]


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_every_shape_of_events_is_read_as_the_same_events(
    data: bytes, compress: Callable[[bytes], bytes]
) -> None:
    events = found(compress(data))
    assert [{name: event[name] for name in EVENTS[0]} for event in events] == EVENTS
    assert [event["properties"]["$browser"] for event in events] == ["Safari", "Safari"]


NEXT = "https://eu.posthog.com/api/projects/1/events/?before=2026&personal_api_key=phx_secret"
MORE = {**ANSWER, "hasMore": True}
PAGES = {
    "of the events API": (dumped({"next": NEXT, "results": API_EVENTS}), "next"),
    "of the events API, pretty": (dumped({"next": NEXT, "results": API_EVENTS}, indent=2), "next"),
    "of the events API, next last": (dumped({"results": API_EVENTS, "next": NEXT}), "next"),
    "of events as they are": (dumped({"next": NEXT, "results": FULL_EVENTS}), "next"),
    "of the query API": (dumped({**MORE, "results": ROWS}), "hasMore"),
    "of the query API, columns last": (dumped({"results": ROWS, **MORE}), "hasMore"),
    "of the query API, pretty": (dumped({"results": ROWS, **MORE}, indent=2), "hasMore"),
    "of the query API, more last": (
        dumped({"columns": COLUMNS, "results": ROWS, "hasMore": True}),
        "hasMore",
    ),
}


@pytest.mark.parametrize(("data", "key"), PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: zipped({"p.json": data})])
def test_a_file_that_is_one_page_of_more_is_said_to_be_one_in_one_line(
    data: bytes, key: str, pack: Callable[[bytes], bytes]
) -> None:
    warnings: list[str] = []
    source = stored(pack(data))
    assert len(list(read_events(source, on_warning=warnings.append))) == 2
    [line] = warnings
    assert line.startswith(source)
    assert f'its "{key}"' in line
    assert "2 records" in line
    assert "enrichment-pipeline pull" in line
    assert "phx_secret" not in line


@pytest.mark.parametrize(
    "data",
    [
        *FILES.values(),
        dumped({"results": ROWS, **ANSWER, "hasMore": None}),
        dumped({"next": "", "results": API_EVENTS}),
        # Of an event, not of an answer.
        dumped([{**event, "next": NEXT, "hasMore": True} for event in FULL_EVENTS]),
        lines([{**event, "next": NEXT, "hasMore": True} for event in FULL_EVENTS]),
    ],
)
def test_of_a_file_that_is_all_there_is_nothing_is_said(data: bytes) -> None:
    warnings: list[str] = []
    assert len(list(read_events(stored(data), on_warning=warnings.append))) == 2
    assert warnings == []


@pytest.mark.parametrize("name", [name for name in FILES if b"1.10" in FILES[name]])
def test_properties_of_a_table_stay_as_they_were_written(name: str) -> None:
    for record in read_events(stored(FILES[name])):
        assert record.problem is None
        assert PROPERTIES.encode() in record.payload


def test_a_row_of_csv_that_is_broken_costs_itself_alone() -> None:
    rows = [ROWS[0], ["too", "few"], [*ROWS[0][:4], "{nope"], ROWS[1]]
    records = list(read_events(stored(table(COLUMNS, rows))))
    assert [record.problem for record in records] == [
        None,
        "a row of 2 cells in a table of 5 columns",
        "column properties is not valid JSON",
        None,
    ]
    assert [record.position for record in records] == [1, 2, 3, 4]


@pytest.mark.slow
def test_a_quote_of_csv_that_is_left_open_is_reported_in_bounded_memory() -> None:
    data = table(COLUMNS, ROWS) + b'"open\n' + b"x,y,z\n" * 5_000_000
    with pytest.raises(BrokenFileError, match=r"after row 2: the CSV is damaged.*quote"):
        list(read_events(stored(data)))


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


ARCHIVES: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "zip": zipped,
    "tar": tarred,
    "tar.gz": lambda files: gzip.compress(tarred(files)),
    "tar.zst": lambda files: zstandard.compress(tarred(files)),
    "zip in gzip": lambda files: gzip.compress(zipped(files)),
    "zip in zip": lambda files: zipped({"inner.zip": zipped(files)}),
}
MEMBERS = {
    "a.jsonl": lines(FULL_EVENTS),
    "days/b.jsonl.gz": gzip.compress(lines(FULL_EVENTS)),
    "days/c.parquet": FILES["Parquet of ClickHouse before 2024"],
    "days/d.csv": FILES["CSV of HogQL"],
    "__MACOSX/a.jsonl": b"\0\0",
    ".DS_Store": b"\0\0",
}


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=ARCHIVES)
def test_every_file_of_an_archive_is_read(archive: Callable[[dict[str, bytes]], bytes]) -> None:
    events = found(archive(MEMBERS))
    assert [event["uuid"] for event in events] == [*UUIDS] * 4


@pytest.mark.parametrize("archive", ARCHIVES.values(), ids=ARCHIVES)
def test_a_file_of_an_archive_that_is_none_of_events_costs_itself_and_is_named(
    archive: Callable[[dict[str, bytes]], bytes],
) -> None:
    data = archive({"readme.txt": b"hello", "a.jsonl": MEMBERS["a.jsonl"], "x.png": b"\x89PNG"})
    records = []
    with pytest.raises(SourceError, match=r"readme.txt: looks like .* \(and 1 more of its files\)"):
        records.extend(read_events(stored(data)))
    assert found(archive({"a.jsonl": MEMBERS["a.jsonl"]})) == FULL_EVENTS


@pytest.mark.parametrize("archive", ["zip", "tar", "tar.gz"])
def test_an_archive_that_is_cut_off_is_reported(archive: str) -> None:
    data = ARCHIVES[archive]({"a.jsonl": b"\n".join([dumped(EVENTS[0])] * 5_000)})
    with pytest.raises(BrokenFileError) as raised:
        list(read_events(stored(data[: len(data) // 2])))
    assert "\n" not in str(raised.value)


OTHERS = {
    "a text file": b"Dear diary,\nnothing happened.\n",
    "a log": b'2026-03-01 12:00 INFO "GET /" 200\n' * 50,
    "a web page": b"<!DOCTYPE html><html><title>Log in</title></html>",
    "CSV of something else": b"id,name\n1,x\n2,y\n",
    "CSV without a header": table(ROWS[0], ROWS),
    "JSON lines of something else": lines([{"id": 1, "name": "x"}] * 20),
    "JSON of something else": dumped({"people": [1, 2]}, indent=2),
    "an insight": dumped({"results": [{"label": "a", "data": [1, 2]}]}),
    "an answer with a count": dumped({"columns": ["count()"], "results": [[7]]}),
    "an answer without columns": dumped({"results": [[7]]}),
    "Segment's events": lines([{"messageId": "1", "event": "a", "userId": "u"}] * 3),
    "Amplitude's events": lines([{"event_type": "a", "user_id": "u"}] * 3),
    "the UI's JSON without distinct_id": dumped(
        [{"event": "a", "person": "Jo", "properties.$lib": "web", "timestamp": TIMES[0]}] * 3
    ),
    "the UI's CSV without distinct_id": table(
        ["event", "person", "timestamp"], [["a", "Jo", TIMES[0]]]
    ),
    "Parquet without distinct_id": parquet({"event": ["a", "b"]}),
    "a workbook": zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}),
    "an image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "bzip2": b"BZh91AY&SY",
    "UTF-16": "event,distinct_id\n".encode("utf-16"),
    "SQLite": b"SQLite format 3\0" + bytes(100),
    "bytes": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("data", OTHERS.values(), ids=OTHERS)
def test_what_is_no_file_of_events_is_one_line_and_no_record(data: bytes) -> None:
    records = []
    with pytest.raises(SourceError) as raised:
        records.extend(read_events(stored(data)))
    assert records == []
    assert str(raised.value).startswith("memory://events: ")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


EVENT = dumped(EVENTS[0])
QUOTED = b"# Events\n\nSend one:\n\n```json\n" + EVENT + b"\n```\n\nIts `event` is the name.\n"
LOGGED = b"".join(b"12:00 INFO sent\n%s\n12:00 INFO ok\n" % EVENT for _ in range(9))
TEXTS = {
    "Markdown": ("guide.md", QUOTED),
    "Markdown, compressed": ("guide.md.gz", gzip.compress(QUOTED)),
    "Markdown without an extension": ("README", QUOTED),
    "Markdown from standard input or a web page": ("events?file=a.jsonl", QUOTED),
    "Markdown in which most is quoted": ("x", b"```\n" + lines(EVENTS * 9) + b"\n```\n"),
    "Markdown of Jekyll": ("index.md", b"{% include head %}\n" + QUOTED),
    "Markdown with a badge": ("README.mdx", b"[![CI](x.svg)](y)\n" + QUOTED),
    "Markdown with a table": ("a.md", b'| key | what |\n|---|---|\n| `"event"` | name |\n' * 9),
    "notes": ("notes.txt", b"To do: find out why this was refused\n" + EVENT + b"\nby then\n"),
    "a log": ("app.log", LOGGED),
    "a log that was rotated": ("app.log.1", LOGGED),
    "a log with events in its lines": ("app", b'12:00 INFO {"event": "a"}\n' * 9),
    "a program": ("send.py", b"import x\n\nx.send(\n" + EVENT + b"\n)\n"),
    "YAML": ("openapi.yaml", b"example: >\n  " + EVENT + b"\nx: 1\n"),
    "a web page": ("api.html", b"<!doctype html>\n<pre>\n" + EVENT + b"\n</pre>\n"),
    "an object that quotes an event": ("openapi.json", dumped({"x": {"y": EVENTS[0]}}, indent=2)),
    "a line that quotes an event": ("openapi.json", dumped({"paths": {"x": EVENTS[0]}})),
}


@pytest.mark.parametrize(("name", "data"), TEXTS.values(), ids=TEXTS)
def test_a_text_that_quotes_events_is_one_line_and_no_record(name: str, data: bytes) -> None:
    records = []
    source = stored(data, name)
    with pytest.raises(SourceError) as raised:
        records.extend(read_events(source))
    assert records == []
    assert str(raised.value).startswith(f"{source}: looks like ")
    assert "\n" not in str(raised.value)
    if EVENT in data and name.endswith((".md", ".txt", ".log")):
        assert "one a line, named .jsonl" in str(raised.value)


BROKEN_LINES = {
    "no extension": ("events", b"broken\n" * 500 + EVENT + b"\nbroken"),
    "first a broken one": ("events.jsonl", b"broken\n" * 500 + EVENT + b"\nbroken"),
    "compressed": ("e.ndjson.gz", gzip.compress(b"# a comment\n" * 501 + EVENT)),
    "a fence in a broken one": ("e.json", b'broken\n{"a": "\n```\n"}\n' * 125 + EVENT + b"\nx"),
    "text in a text file": ("events.txt", b"broken\n" * 251 + lines(EVENTS[:1] * 251)),
    "text after events": ("app.log", EVENT + b"\nbroken" * 501),
}


@pytest.mark.parametrize(("name", "data"), BROKEN_LINES.values(), ids=BROKEN_LINES)
def test_a_line_that_is_broken_among_events_is_a_record(name: str, data: bytes) -> None:
    assert len(list(read_events(stored(data, name)))) == 502
