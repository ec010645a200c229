"""Exports: every row, as it is in the store, in each format; and never half of a day."""

import csv
import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args

import duckdb
import fsspec
import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.replay import replay_marked
from enrichment_pipeline.events.raw_event import (
    Arrival,
    EventRejectedError,
    RejectionReason,
    parse_event,
    reject,
)
from enrichment_pipeline.llm import exporting
from enrichment_pipeline.llm.exporting import Export, ExportError, count_rows, run_export
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, mark_for_replay
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.reading.exporting import What
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in, visit
from enrichment_pipeline_tests.orchestration.conftest import die

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TRAP = 'line\nbreak, "quotes"; 日本語 🛒 \u202e'


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    trap = make_event(
        "note_written",
        NOON + timedelta(seconds=50),
        distinct_id="ann@example.com",
        properties={"$session_id": "one", "title": TRAP, "note": TRAP, "name": TRAP},
    )
    take_in(store, rules, [trap, *visit("one", NOON, "/", "/users/8231", person="ann@example.com")])
    take_in(store, rules, visit("two", NOON + timedelta(days=1), "/"))
    for day in (NOON, NOON + timedelta(days=1)):
        build_day(store, day.date(), is_whole=True)
    return store


def export(store: Store, wanted: Export) -> exporting.ExportReport:
    return run_export(store, wanted, list(count_rows(store, wanted)))


def records(folder: Path, form: str, what: str) -> list[dict[str, object]]:
    files = sorted(folder.glob(f"{what}/day=*/part-*"))
    if form == "parquet":
        found = duckdb.sql(f"SELECT * FROM read_parquet('{folder}/{what}/*/*.parquet')").df()
        return list(found.astype(object).where(found.notna(), None).to_dict("records"))
    rows: list[dict[str, object]] = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
            rows += (
                [json.loads(line) for line in lines]
                if form == "jsonl"
                else [dict(row) for row in csv.DictReader(lines)]
            )
    return rows


def test_what_a_replay_has_let_in_is_there(store: Store, rules: Rules, tmp_path: Path) -> None:
    properties = {"$session_id": "one"}
    arrival = Arrival(NOON)
    take_in(store, rules, visit("one", NOON, "/"))
    bad = parse_event(make_event("bad", NOON, properties=properties), "default", arrival)
    error = EventRejectedError(RejectionReason.BEFORE_FIRST_PARTITION, "too early")
    payload = make_event("refused", NOON, properties=properties)
    load_events(store, [bad], [reject(payload, "default", arrival, error)], "test")
    die(store, rules)
    build_day(store, NOON.date(), is_whole=True)

    def exported() -> tuple[list[object], object]:
        for what in get_args(What):
            export(store, Export(what, str(tmp_path), "jsonl"))
        [timeline] = records(tmp_path, "jsonl", "timelines")
        names = [row["event"] for row in records(tmp_path, "jsonl", "events")]
        return sorted(map(str, names)), timeline["events"]

    assert exported() == (["$pageview"], 1)
    with store.transaction() as connection:
        mark_for_replay(connection, LetterFilter())
    assert replay_marked(store, rules, "test", 1e9).resolved == 2
    enrich_due(store, rules)
    build_day(store, NOON.date(), is_whole=False)
    assert exported() == (["$pageview", "bad", "refused"], 3)


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_every_event_is_there_and_nobody_is_named(
    filled: Store, tmp_path: Path, form: exporting.Format
) -> None:
    report = export(filled, Export("events", str(tmp_path), form))
    found = records(tmp_path, form, "events")
    with filled.transaction() as connection:
        kept = connection.execute(
            text("SELECT uuid::text, description, event FROM enriched_event")
        ).all()
    assert {(row["uuid"], row["description"], row["event"]) for row in found} == set(
        map(tuple, kept)
    )
    assert report.rows == len(found) == 4
    assert "example.com" not in str(found)
    assert "8231" not in str(found)
    assert len({row["person"] for row in found}) == 2


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_what_is_private_is_there_where_it_is_asked_for(
    filled: Store, tmp_path: Path, form: exporting.Format
) -> None:
    export(filled, Export("events", str(tmp_path), form, with_private=True))
    [row] = [row for row in records(tmp_path, form, "events") if row["event"] == "note_written"]
    assert row["distinct_id"] == "ann@example.com"
    assert row["title"] == TRAP
    properties = row["properties"]
    assert (json.loads(properties) if isinstance(properties, str) else properties)["note"] == TRAP


@pytest.mark.parametrize("form", ["parquet", "jsonl", "csv"])
def test_timelines_are_there(filled: Store, tmp_path: Path, form: exporting.Format) -> None:
    export(filled, Export("timelines", str(tmp_path), form))
    found = records(tmp_path, form, "timelines")
    assert {row["session_id"] for row in found} == {"one", "two"}
    assert all("seconds action what" in str(row["timeline"]) for row in found)


def test_days_and_projects_are_chosen_and_partitioned(filled: Store, tmp_path: Path) -> None:
    day = NOON.date()
    export(filled, Export("events", str(tmp_path), first=day, last=day))
    assert [path.name for path in (tmp_path / "events").iterdir()] == ["day=2026-03-02"]
    nothing = export(filled, Export("events", str(tmp_path / "other"), project="nobody"))
    assert (nothing.rows, nothing.files) == (0, [])


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ROWS_OF_A_FILE", 1)
    monkeypatch.setattr("enrichment_pipeline.store.reading.exporting._ROWS_AT_ONCE", 1)


@pytest.mark.usefixtures("small_files")
def test_a_day_that_is_exported_again_has_no_part_left_of_before(
    filled: Store, tmp_path: Path
) -> None:
    wanted = Export("events", str(tmp_path), "jsonl")
    assert len(export(filled, wanted).files) == 4
    with filled.transaction() as connection:
        connection.execute(text("DELETE FROM enriched_event WHERE event = 'note_written'"))
    export(filled, wanted)
    assert len(records(tmp_path, "jsonl", "events")) == 3
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert not [name for name in names if name.startswith(".")]


@pytest.mark.parametrize("target", ["folder", "memory://other-formats"])
@pytest.mark.parametrize("other", ["jsonl", "csv"])
def test_an_export_in_another_format_leaves_the_files_of_the_first(
    filled: Store, tmp_path: Path, target: str, other: exporting.Format
) -> None:
    place = target if "://" in target else str(tmp_path / target)
    # The last day first: of an export that is refused no day is written.
    last = max(count_rows(filled, Export("events", place)))
    first = export(filled, Export("events", place, first=last))
    with pytest.raises(ExportError, match=r"another format, such as part-0000\.parquet"):
        export(filled, Export("events", place, other))
    files, root = fsspec.core.url_to_fs(place)
    assert sorted(files.find(root)) == sorted(first.files)
    assert len(export(filled, Export("timelines", place, other)).files) > 0
    files.rm(root, recursive=True)


@pytest.mark.usefixtures("small_files")
def test_an_export_that_breaks_off_leaves_what_was_there(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Export("events", str(tmp_path), "jsonl")
    export(filled, wanted)
    before = records(tmp_path, "jsonl", "events")

    def break_off(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(exporting._Lines, "_write", break_off)
    with pytest.raises(ExportError, match="no room"):
        export(filled, wanted)
    assert records(tmp_path, "jsonl", "events") == before


def test_a_bucket_is_written_to_as_a_folder_is(filled: Store) -> None:
    export(filled, Export("events", "memory://bucket/out", "csv"))
    files = fsspec.filesystem("memory").glob("/bucket/out/events/day=*/part-*")
    assert len(files) == 2


def test_a_target_that_is_none_is_refused(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target in (str(tmp_path / "file"), "nothing://x"):
        with pytest.raises(ExportError, match=target.replace("/", r"\/")):
            export(filled, Export("events", target))
