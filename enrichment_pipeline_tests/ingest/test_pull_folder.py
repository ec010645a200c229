"""Pulling the files of a folder, and of a stand-in for a bucket (fsspec's `memory://`)."""

import gzip
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest
import zstandard
from sqlalchemy import text

from enrichment_pipeline.ingest import importer
from enrichment_pipeline.ingest.chunks import Chunk, load_chunk
from enrichment_pipeline.ingest.pull.errors import PullError, PullRefusedError
from enrichment_pipeline.ingest.pull.folder import FolderReport
from enrichment_pipeline.ingest.pull.pull import pull
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.pulled import claimed
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.ingest.stored_files import parquet

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that is pulled."""
    landing = tmp_path / "landing"
    landing.mkdir()
    return landing


@pytest.fixture
def bucket() -> Iterator[str]:
    """The URL of an empty bucket."""
    yield "memory://bucket/exports"
    memory = fsspec.filesystem("memory")
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


def pull_from(store: Store, folder: object, project: str = "default") -> FolderReport:
    settings = Settings(pull_folder=str(folder), pull_project=project)
    return pull(store, settings, []).folder


def lines(count: int, at: datetime = NOON) -> bytes:
    events = (make_event(at=at + timedelta(seconds=number)) for number in range(count))
    return b"".join(event + b"\n" for event in events)


def counts(report: FolderReport) -> tuple[int, int, int]:
    return report.files, report.summary.accepted, report.summary.duplicates


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


def test_every_format_is_found_at_every_depth_and_read_once(store: Store, folder: Path) -> None:
    (folder / "2026" / "03").mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(lines(3))
    (folder / "2026" / "b.jsonl.gz").write_bytes(gzip.compress(lines(3)))
    (folder / "2026" / "03" / "c.JSONL.zst").write_bytes(zstandard.compress(lines(3)))
    (folder / "2026" / "03" / "d.json").write_bytes(b"[" + make_event(at=NOON) + b"]")
    event = json.loads(make_event(at=NOON))
    columns = {name: [event[name]] for name in ("uuid", "event", "distinct_id")}
    columns["properties"] = [json.dumps(event["properties"])]
    columns["timestamp"] = [NOON]
    # The compression in its name is inside, as PostHog has it.
    (folder / "e.parquet.zst").write_bytes(parquet(columns, compression="zstd"))
    assert counts(pull_from(store, folder)) == (5, 11, 0)
    again = pull_from(store, folder)
    assert (counts(again), again.known) == ((0, 0, 0), 5)
    assert rows(store, "SELECT DISTINCT source FROM raw_batch") == [("folder",)]
    assert rows(store, "SELECT sum(accepted), count(*) FROM pulled_file") == [(11, 5)]


def test_the_events_belong_to_the_project_of_the_settings(store: Store, folder: Path) -> None:
    (folder / "a.jsonl").write_bytes(lines(1))
    pull_from(store, folder, "shop")
    assert rows(store, "SELECT project FROM raw_event") == [("shop",)]


def test_a_file_that_has_changed_is_read_again_and_adds_only_what_is_new(
    store: Store, folder: Path
) -> None:
    file = folder / "a.jsonl"
    file.write_bytes(lines(3))
    pull_from(store, folder)
    with file.open("ab") as more:
        more.write(lines(2))
    assert counts(pull_from(store, folder)) == (1, 2, 3)
    # The same size, but another time.
    os.utime(file, (1, 1))
    assert counts(pull_from(store, folder)) == (1, 0, 5)
    assert pull_from(store, folder).known == 1


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.jsonl",
        "_temporary/part.jsonl",
        "a.jsonl.tmp",
        "a.jsonl.part",
        "a.jsonl~",
        "2026_manifest.json",
        "manifest.json",
        "README.md",
        "a.csv.gz",
        "jsonl",
    ],
)
def test_what_is_no_finished_export_by_its_name_is_passed_over(
    store: Store, folder: Path, name: str
) -> None:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(lines(1))
    report = pull_from(store, folder)
    assert (counts(report), report.passed_over) == ((0, 0, 0), 1)


def test_names_above_the_folder_do_not_matter(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / ".hidden" / "_landing"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(lines(1))
    assert counts(pull_from(store, folder)) == (1, 1, 0)


def test_a_broken_file_is_reported_the_others_go_on_and_it_is_tried_again(
    store: Store, folder: Path
) -> None:
    whole = gzip.compress(lines(300))
    (folder / "a.jsonl.gz").write_bytes(whole[:-500])
    (folder / "b.parquet").write_bytes(b"PAR1 is no more than a beginning")
    (folder / "c.jsonl").write_bytes(lines(2))
    report = pull_from(store, folder)
    first, second = report.broken
    assert "a.jsonl.gz: after line" in first
    assert "b.parquet" in second
    assert all("tries it again" in line and "\n" not in line for line in report.broken)
    assert report.files == 1
    assert len(pull_from(store, folder).broken) == 2

    (folder / "a.jsonl.gz").write_bytes(whole)
    (folder / "b.parquet").unlink()
    mended = pull_from(store, folder)
    assert (mended.files, mended.broken) == (1, [])
    assert rows(store, "SELECT count(*) FROM raw_event") == [(302,)]


def test_a_broken_line_costs_that_line_and_the_file_counts_as_read(
    store: Store, folder: Path
) -> None:
    (folder / "a.jsonl").write_bytes(lines(2) + b'{"event": "cut o\n')
    report = pull_from(store, folder)
    assert report.summary.quarantined == {"invalid_json": 1}
    assert pull_from(store, folder).known == 1


def test_a_pull_that_died_in_the_middle_of_a_file_reads_it_again(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.jsonl").write_bytes(lines(40))
    (folder / "b.jsonl").write_bytes(lines(2))

    def die_after_a_chunk(store: Store, chunks: Iterator[Chunk], project: str, *_: object) -> None:
        load_chunk(store, next(chunks), project)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(importer, "CHUNK_EVENTS", 10)
        dying.setattr(importer, "_import_in_parallel", die_after_a_chunk)
        with pytest.raises(KeyboardInterrupt):
            pull_from(store, folder)
    assert counts(pull_from(store, folder)) == (2, 32, 10)


def test_a_file_that_another_pull_is_reading_is_left_to_it(store: Store, folder: Path) -> None:
    file = folder / "a.jsonl"
    file.write_bytes(lines(2))
    with claimed(store, str(file)) as ours:
        assert ours
        report = pull_from(store, folder)
    assert (report.busy, counts(report)) == ([str(file)], (0, 0, 0))
    assert counts(pull_from(store, folder)) == (1, 2, 0)


def test_a_bucket_is_read_as_a_folder_is(store: Store, bucket: str) -> None:
    with pytest.raises(PullRefusedError, match="nothing has landed yet"):
        pull_from(store, bucket)
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/exports/2026/a.jsonl", lines(3))
    memory.pipe("/bucket/elsewhere/b.jsonl", lines(3))
    assert counts(pull_from(store, bucket)) == (1, 3, 0)
    assert pull_from(store, bucket).known == 1
    memory.pipe("/bucket/exports/2026/a.jsonl", lines(4))
    assert counts(pull_from(store, bucket)) == (1, 4, 0)


@pytest.mark.parametrize(
    ("url", "line"),
    [("missing", "there is no such folder"), ("nowhere://bucket", "nowhere")],
)
def test_a_folder_that_cannot_be_had_is_refused_by_its_setting(
    store: Store, url: str, line: str
) -> None:
    with pytest.raises(PullRefusedError, match=f"ENRICHMENT_PULL_FOLDER={url}: .*{line}"):
        pull_from(store, url)


def test_a_bucket_that_does_not_answer_is_no_fault_of_the_settings(store: Store) -> None:
    # Nothing listens there; of fsspec's file systems it is one that needs no package of its own.
    with pytest.raises(PullError, match="cannot be listed") as raised:
        pull_from(store, "webhdfs://127.0.0.1:1/exports")
    assert not isinstance(raised.value, PullRefusedError)
