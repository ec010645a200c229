"""Importing files into a real store."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import (
    NO_TIME,
    TIME_IS_ARRIVAL,
    TOO_FAR_AHEAD,
    UNREADABLE,
    RejectionReason,
)
from enrichment_pipeline.ingest import importer
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.files import BrokenFileError, FileRecord
from enrichment_pipeline.ingest.importer import import_records, import_source
from enrichment_pipeline.ingest.sample.sample import sample_events
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.payloads import decompress
from enrichment_pipeline_tests.conftest import make_event

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
UUID = "01a2074a-16f5-45be-ae39-7a682b08770e"


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


def import_file(store: Store, file: Path) -> ImportSummary:
    summary = ImportSummary()
    import_source(store, str(file), "default", summary)
    return summary


def events(count: int, at: datetime = NOON) -> list[bytes]:
    return [make_event(at=at + timedelta(seconds=number)) for number in range(count)]


def write(file: Path, lines: list[bytes]) -> Path:
    file.write_bytes(b"\n".join(lines) + b"\n")
    return file


def test_importing_a_file_again_adds_nothing(store: Store, tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", [*events(20), b"broken"])
    first = import_file(store, file)
    assert (first.accepted, first.duplicates, first.quarantined) == (20, 0, {"invalid_json": 1})
    again = import_file(store, file)
    assert (again.accepted, again.duplicates, again.quarantined) == (0, 21, {})


def test_the_same_events_in_every_format_are_the_same_events(store: Store, tmp_path: Path) -> None:
    lines = events(5)
    parsed = [json.loads(line) for line in lines]
    jsonl = b"\n".join(lines)
    columns = {
        **{name: [event[name] for event in parsed] for name in ("uuid", "event", "distinct_id")},
        "properties": [json.dumps(event["properties"]) for event in parsed],
        "timestamp": [datetime.fromisoformat(event["timestamp"]) for event in parsed],
    }
    pq.write_table(pa.table(columns), tmp_path / "events.parquet")
    (tmp_path / "array.json").write_bytes(b"[" + b",".join(lines) + b"]")
    (tmp_path / "lines.gz").write_bytes(gzip.compress(jsonl))
    (tmp_path / "lines.zst").write_bytes(zstandard.compress(jsonl))
    write(tmp_path / "lines.jsonl", lines)
    accepted = [import_file(store, file).accepted for file in sorted(tmp_path.iterdir())]
    assert accepted == [5, 0, 0, 0, 0]


def test_a_broken_line_costs_that_line_and_is_kept_with_its_text(
    store: Store, tmp_path: Path
) -> None:
    lines = events(3)
    lines.insert(1, b'{"event": "cut o')
    assert import_file(store, write(tmp_path / "events.jsonl", lines)).accepted == 3
    [letter] = rows(store, "SELECT reason_code, payload FROM dead_letter")
    assert (letter.reason_code, decompress(letter.payload)) == ("invalid_json", lines[1])


def test_events_of_before_the_store_was_made_are_taken(store: Store, tmp_path: Path) -> None:
    old = datetime(2024, 5, 6, 7, tzinfo=UTC)
    summary = import_file(store, write(tmp_path / "old.jsonl", [*events(1), *events(1, old)]))
    assert summary.accepted == 2


def test_lines_without_timestamp_happened_when_posthog_had_them(
    store: Store, tmp_path: Path
) -> None:
    had = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    lines = [
        json.dumps({"event": "e", "distinct_id": "d", name: had.isoformat()}).encode()
        for name in ("now", "sent_at", "created_at", "inserted_at")
    ]
    assert import_file(store, write(tmp_path / "lines.jsonl", lines)).accepted == 4
    assert rows(store, "SELECT DISTINCT occurred_at FROM raw_event") == [(had,)]


def test_a_line_whose_time_is_of_no_use_has_that_of_posthog_or_is_kept_to_be_mended(
    store: Store, tmp_path: Path
) -> None:
    had = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    ahead = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    lines = [
        make_event("had elsewhere", timestamp="28/11/2025 12:30", created_at=had.isoformat()),
        make_event("ahead", timestamp=ahead, inserted_at=had.isoformat()),
        make_event("epoch", timestamp=str(int(had.timestamp()))),
        make_event("only ahead", timestamp=ahead),
        json.dumps({"event": "none", "distinct_id": "d"}).encode(),
        make_event("two ways", timestamp="28/11/2025 12:30", uuid=UUID),
        make_event("words", timestamp="yesterday"),
        make_event("year 1", timestamp="0001-01-01T00:00:00Z"),
    ]
    before = datetime.now(UTC)
    summary = import_file(store, write(tmp_path / "lines.jsonl", lines))
    assert (summary.accepted, summary.quarantined) == (
        5,
        {RejectionReason.INVALID_TIMESTAMP: 2, RejectionReason.TIMESTAMP_TOO_OLD: 1},
    )
    why = f"properties->>'{TIME_IS_ARRIVAL}'"
    at_posthog, at_import = (
        rows(store, f"SELECT event, {why} FROM raw_event WHERE occurred_at {when} ORDER BY event")
        for when in (f"= '{had}'", f">= '{before}'")
    )
    assert at_posthog == [("ahead", TOO_FAR_AHEAD), ("epoch", None), ("had elsewhere", UNREADABLE)]
    assert at_import == [("none", NO_TIME), ("only ahead", TOO_FAR_AHEAD)]
    # Its uuid stayed free for the line with the time put right.
    mended = make_event("two ways", timestamp="2025-11-28 12:30", uuid=UUID)
    assert import_file(store, write(tmp_path / "mended.jsonl", [mended])).accepted == 1


def test_an_event_for_which_there_would_be_too_many_windows_is_quarantined(
    store: Store, tmp_path: Path
) -> None:
    ancient = events(1, datetime(1999, 1, 1, tzinfo=UTC))
    summary = import_file(store, write(tmp_path / "old.jsonl", ancient))
    assert summary.quarantined == {RejectionReason.TIMESTAMP_TOO_OLD: 1}
    assert len(rows(store, "SELECT id FROM dead_letter WHERE window_start > '2026-01-01'")) == 1


@pytest.mark.slow
def test_of_a_file_that_breaks_off_everything_before_is_in_the_store(
    store: Store, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n".join(events(3_000)))[:-2_000])
    summary = ImportSummary()
    with pytest.raises(BrokenFileError, match="after line"):
        import_source(store, str(file), "default", summary)
    assert 0 < summary.accepted < 3_000
    assert rows(store, "SELECT count(*) FROM raw_event") == [(summary.accepted,)]


@pytest.mark.slow
def test_a_large_import_is_shared_out_and_loses_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK_EVENTS", 50)
    lines = events(1_000)
    summary = import_file(store, write(tmp_path / "events.jsonl", [*lines, *lines[:70], b"bad"]))
    assert (summary.accepted, summary.duplicates) == (1_000, 70)
    assert summary.quarantined == {RejectionReason.INVALID_JSON: 1}
    assert rows(store, "SELECT count(*), count(DISTINCT uuid) FROM raw_event") == [(1_000, 1_000)]


@pytest.mark.slow
def test_what_fails_in_a_process_of_the_import_fails_the_import(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK_EVENTS", 5)
    with store.transaction() as connection:
        connection.execute(text("ALTER TABLE raw_event RENAME TO elsewhere"))
    records = [FileRecord(payload, number) for number, payload in enumerate(events(20))]
    with pytest.raises(Exception, match="raw_event"):
        import_records(store, records, "default", ImportSummary())


@pytest.mark.slow
def test_the_sample_shows_every_type_and_action_and_comes_in_once(
    store: Store, rules: Rules
) -> None:
    summary = ImportSummary()
    for _ in range(2):
        records = [FileRecord(payload, 1) for payload in sample_events(datetime.now(UTC))]
        import_records(store, records, "demo", summary)
    assert summary.accepted == summary.duplicates == len(records)
    assert not summary.quarantined
    assert enrich_due(store, rules).events == len(records)
    found = rows(store, "SELECT DISTINCT event_type, action_type FROM enriched_event")
    assert {tuple(row) for row in found} == {
        ("pageview", "view"),
        ("navigation", "leave"),
        ("click", "rage_click"),
        ("click", "click"),
        ("click", "submit"),
        ("click", "change"),
        ("custom", "click"),
        ("custom", "submit"),
        ("custom", "navigate"),
        ("unknown", "unknown"),
    }
