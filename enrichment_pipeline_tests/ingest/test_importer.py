"""Importing files into a real store: counted, durable, and the same however a file is packed."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RawEvent, Reason
from enrichment_pipeline.ingest import importer
from enrichment_pipeline.ingest.files import BrokenFileError, FileRecord, SourceError
from enrichment_pipeline.ingest.importer import ImportSummary, import_records, import_source
from enrichment_pipeline.ingest.sample.sample import sample_events
from enrichment_pipeline.store.books import books, counted_books
from enrichment_pipeline.store.embedded import EmbeddedPostgres
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.errors import StoreError, is_store_failure
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline.store.payloads import decompress
from enrichment_pipeline.store.windows import oldest_possible_start, partition_start
from enrichment_pipeline_tests.conftest import HOUR, execute, make_event
from enrichment_pipeline_tests.ingest.stored_files import COMPRESSIONS, parquet

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
"""Where the windows of a fresh store of the tests start."""


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


def first_window(store: Store) -> datetime:
    with store.transaction() as connection:
        return partition_start(connection)


def events(count: int, at: datetime = NOON) -> list[bytes]:
    return [make_event(at=at + timedelta(seconds=number)) for number in range(count)]


def import_lines(store: Store, file: Path, lines: list[bytes]) -> ImportSummary:
    file.write_bytes(b"\n".join(lines))
    return imported(store, file)


def imported(store: Store, file: Path) -> ImportSummary:
    summary = ImportSummary()
    import_source(store, str(file), "default", summary)
    return summary


def records(payloads: list[bytes]) -> Iterator[FileRecord]:
    return (FileRecord(payload, number) for number, payload in enumerate(payloads, start=1))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_an_import_tells_what_became_of_the_events_and_again_adds_nothing(
    store: Store, file: Path
) -> None:
    some = events(5)
    lines = [*some, some[0], b'{"event": "$pageview"}', b"no json"]
    summary = import_lines(store, file, lines)
    assert (summary.accepted, summary.duplicates, summary.widened_to) == (5, 1, None)
    assert summary.quarantined == {Reason.MISSING_DISTINCT_ID: 1, Reason.INVALID_JSON: 1}
    before = rows(store, "SELECT * FROM raw_batch")
    again = imported(store, file)
    assert (again.accepted, again.duplicates, again.quarantined.total()) == (0, 8, 0)
    assert rows(store, "SELECT * FROM raw_batch") == before
    assert rows(store, "SELECT count(*) FROM dead_letter") == [(2,)]


def test_a_broken_line_costs_that_line_and_is_kept_with_its_text(store: Store, file: Path) -> None:
    broken = b'{"event": "$pageview", "distinct_id": "u", "timestamp": "yesterday"}'
    before, after = events(3), events(4)
    summary = import_lines(store, file, [*before, broken, *after])
    assert summary.accepted == 7
    [letter] = rows(store, "SELECT * FROM dead_letter")
    assert decompress(letter.payload) == broken
    assert (letter.reason_code, letter.event, letter.source) == (
        "invalid_timestamp",
        "$pageview",
        "import",
    )
    assert letter.message == "the timestamp is no ISO 8601 time"
    with store.transaction() as connection:
        kept = books(connection)
        windows = [window.window_start for window in kept]
        assert kept == counted_books(connection, windows, HOUR)
    assert sum(window.accepted for window in kept) == 8
    assert all(window.balances for window in kept)


def test_a_record_that_the_reader_found_too_long_is_quarantined(store: Store) -> None:
    summary = ImportSummary()
    long = FileRecord(b'{"event": "cut o', 1, "longer than 20 MB")
    import_records(store, [long, *records(events(2))], "default", summary)
    assert (summary.accepted, summary.quarantined) == (2, {Reason.TOO_LARGE: 1})
    assert rows(store, "SELECT message FROM dead_letter") == [("longer than 20 MB",)]


def test_events_older_than_the_first_window_widen_the_windows_before_they_are_loaded(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[datetime] = []

    def spy(*given: Any) -> Any:
        starts.append(first_window(store))
        return load_events(*given)

    monkeypatch.setattr(importer, "load_events", spy)
    old = START - 10 * DAY + timedelta(hours=7)
    summary = import_lines(store, file, [*events(2), *events(2, old), *events(2, old + DAY)])
    assert summary.accepted == 6
    assert summary.widened_to == START - 10 * DAY
    assert starts == [START - 10 * DAY] == [first_window(store)]


def test_events_of_the_windows_that_there_are_widen_nothing(store: Store, file: Path) -> None:
    assert import_lines(store, file, events(1, START)).widened_to is None
    assert first_window(store) == START


def test_an_event_too_old_for_any_window_is_quarantined_and_widens_nothing(
    store: Store, file: Path
) -> None:
    oldest = oldest_possible_start(datetime.now(UTC), HOUR)
    summary = import_lines(store, file, [*events(2), *events(1, oldest - DAY)])
    assert (summary.accepted, summary.quarantined) == (2, {Reason.TIMESTAMP_TOO_OLD: 1})
    assert summary.widened_to is None
    [letter] = rows(store, "SELECT message, window_start FROM dead_letter")
    assert letter.message.endswith(f"is before {oldest.date()}, the oldest that can be kept")
    # Its own window does not exist; it is booked in that of its arrival.
    assert letter.window_start > datetime.now(UTC) - 2 * HOUR


def test_a_file_that_is_cut_off_is_loaded_up_to_there_and_told(store: Store, file: Path) -> None:
    packed = gzip.compress(b"\n".join(events(400)))
    file.write_bytes(packed[: len(packed) // 2])
    summary = ImportSummary()
    with pytest.raises(BrokenFileError, match=r"events\.jsonl: after line \d+: .*cut off"):
        import_source(store, str(file), "default", summary)
    assert 0 < summary.accepted < 400
    assert rows(store, "SELECT count(*) FROM raw_event") == [(summary.accepted,)]
    file.write_bytes(packed)
    whole = imported(store, file)
    assert whole.accepted + summary.accepted == 400


def test_a_file_that_is_not_there_adds_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        imported(store, tmp_path / "nowhere.jsonl")
    assert rows(store, "SELECT count(*) FROM raw_batch") == [(0,)]


@pytest.mark.parametrize(
    ("limit", "value"), [("CHUNK_EVENTS", 10), ("CHUNK_BYTES", 10 * len(make_event()))]
)
def test_a_long_file_is_committed_in_chunks(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(importer, limit, value)
    some = events(25)
    summary = import_lines(store, file, [*some, *some[:3]])
    assert (summary.accepted, summary.duplicates) == (25, 3)
    found = rows(store, "SELECT event_count FROM raw_batch ORDER BY id")
    assert [row.event_count for row in found] == [10, 10, 5]


def test_no_more_than_two_chunks_are_in_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK_EVENTS", 10)
    read = 0
    ahead: list[int] = []

    def counted() -> Iterator[FileRecord]:
        nonlocal read
        for record in records(events(100)):
            read += 1
            yield record

    def spy(store: Store, chunk: list[RawEvent], *others: Any) -> Any:
        result = load_events(store, chunk, *others)
        ahead.append(read - 10 * len(ahead) - len(chunk))
        return result

    monkeypatch.setattr(importer, "load_events", spy)
    import_records(store, counted(), "default", ImportSummary())
    assert len(ahead) == 10
    assert max(ahead) <= 10


def test_an_error_in_the_loading_thread_reaches_the_caller_and_what_was_committed_stays(
    store: Store, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK_EVENTS", 10)
    database = sql.Identifier(str(store.engine.url.database))
    locked = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    summary = ImportSummary()

    def cut_off_after_the_first_chunk() -> Iterator[FileRecord]:
        yield from records(events(20))
        # The second chunk has been handed over, so the first is durable.
        execute(server, locked.format(database, sql.SQL("false")))
        store.engine.dispose()
        yield from records(events(20))

    with pytest.raises((StoreError, DBAPIError)) as failed:
        import_records(store, cut_off_after_the_first_chunk(), "default", summary)
    assert is_store_failure(failed.value)
    execute(server, locked.format(database, sql.SQL("true")))
    assert rows(store, "SELECT count(*) FROM raw_event") == [(summary.accepted,)]
    assert summary.accepted in (10, 20)


def test_every_format_and_compression_gives_the_same_events(store: Store, tmp_path: Path) -> None:
    some = [json.loads(event) for event in events(20)]
    as_parquet = parquet(
        {
            **{name: [event[name] for event in some] for name in ("uuid", "event", "distinct_id")},
            "timestamp": [datetime.fromisoformat(event["timestamp"]) for event in some],
            "properties": [json.dumps(event["properties"]) for event in some],
        }
    )
    formats = {
        "lines": b"\n".join(json.dumps(event).encode() for event in some),
        "array": json.dumps(some).encode(),
        "batch": json.dumps({"api_key": "k", "batch": some}).encode(),
        "parquet": as_parquet,
    }
    found = {}
    for (form, data), (name, compress) in product(formats.items(), COMPRESSIONS.items()):
        # Nothing in its name says what is in it.
        file = tmp_path / f"{form}.{name}"
        file.write_bytes(compress(data))
        project = f"{form}-{name}"
        import_source(store, str(file), project, ImportSummary())
        found[project] = rows(
            store,
            "SELECT uuid, occurred_at, event, distinct_id, path, title, properties, input_key "
            f"FROM raw_event WHERE project = '{project}' ORDER BY uuid",
        )
    assert len(found) == 12
    assert len(found["lines-plain"]) == 20
    assert all(of_project == found["lines-plain"] for of_project in found.values())


def test_progress_is_told_up_to_the_end_of_the_file(store: Store, file: Path) -> None:
    done: list[int] = []
    file.write_bytes(gzip.compress(b"\n".join(events(50))))
    import_source(store, str(file), "default", ImportSummary(), done.append)
    assert done == sorted(done)
    assert done[-1] == file.stat().st_size


def test_the_sample_comes_in_whole_and_twice_adds_nothing_and_shows_all_types_and_actions(
    store: Store, rules: Rules
) -> None:
    def sample(now: datetime) -> ImportSummary:
        summary = ImportSummary()
        import_records(store, records(list(sample_events(now))), "demo", summary)
        return summary

    now = datetime.now(UTC)
    first = sample(now)
    assert (first.duplicates, first.quarantined.total()) == (0, 0)
    # Another day, other times: still the same events.
    again = sample(now + DAY)
    assert (again.accepted, again.duplicates) == (0, first.accepted)
    assert enrich_due(store, rules).events == first.accepted
    assert {
        tuple(row) for row in rows(store, "SELECT event_type, action_type FROM enriched_event")
    } == {
        ("pageview", "view"),
        ("navigation", "leave"),
        ("click", "rage_click"),
        ("unknown", "unknown"),
        *product(["click"], ["click", "submit", "change"]),
        *product(["custom"], ["click", "submit", "navigate"]),
    }
