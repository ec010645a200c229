"""The processes of a large import: what an outage, a kill and Ctrl-C do to them."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.ingest import importer
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.files import FileRecord
from enrichment_pipeline.ingest.importer import import_records
from enrichment_pipeline.store.database import outages
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreError, is_store_failure
from enrichment_pipeline.store.database.outages import wait_for_store
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.outage import begin_outage, end_outage

_SECONDS = 60
_MOST_WORKERS = min(os.cpu_count() or 1, 4)

# Imports until somebody ends it. Once something is durable, prints the ids of its processes.
_ENDLESS = """
import multiprocessing, sys
from itertools import count
from enrichment_pipeline.ingest import importer
from enrichment_pipeline.ingest.files import FileRecord
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import opened_store

EVENT = b'{"event": "e", "distinct_id": "u", "timestamp": "2026-03-01T12:00:00Z", "n": %d}'
importer.CHUNK_EVENTS = 10
summary = importer.ImportSummary()

def records():
    printed = False
    for number in count(1):
        if summary.accepted and not printed:
            print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
            printed = True
        yield FileRecord(EVENT % number, number)

try:
    with opened_store(load_settings()) as store:
        importer.import_records(store, records(), "default", summary)
except KeyboardInterrupt:
    print(summary.accepted)
"""


def records(count: int) -> Iterator[FileRecord]:
    return (FileRecord(make_event(), number) for number in range(count))


def raw_event_count(store: Store) -> int:
    with store.transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM raw_event")).scalar_one())


@pytest.mark.slow
def test_a_long_source_is_never_held_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    large = [make_event(properties={"note": "x" * 5_000}) for _ in range(10)]
    monkeypatch.setattr(importer, "CHUNK_EVENTS", 10)
    monkeypatch.setattr(importer, "CHUNK_BYTES", 2 * len(large[0]))
    summary = ImportSummary()
    held: list[int] = []

    def watched() -> Iterator[FileRecord]:
        for read, record in enumerate(records(200)):
            held.append(read - summary.accepted)
            yield record
        yield from (FileRecord(payload, 0) for payload in large)

    import_records(store, watched(), "default", summary)
    assert summary.accepted == 210
    with store.transaction() as connection:
        sizes = connection.execute(
            text("SELECT event_count, count(*) FROM raw_batch GROUP BY 1 ORDER BY 1")
        ).all()
    assert sizes == [(2, 5), (10, 20)]
    assert max(held) <= 10 * (2 * _MOST_WORKERS + 1)


@pytest.mark.parametrize("durable_before", [0, 10])
@pytest.mark.slow
def test_an_import_waits_out_an_outage_and_loses_nothing(
    store: Store,
    server: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    durable_before: int,
) -> None:
    """One that comes before the processes of the import have connected, or while they work."""
    monkeypatch.setattr(importer, "CHUNK_EVENTS", 10)
    monkeypatch.setattr(outages, "FIRST_WAIT_SECONDS", 0.05)
    waited: list[Exception] = []

    def wait(store: Store, error: Exception) -> None:
        waited.append(error)
        end_outage(server, store)
        wait_for_store(store, error)

    monkeypatch.setattr(importer, "wait_for_store", wait)
    summary = ImportSummary()

    def until_the_outage() -> Iterator[FileRecord]:
        yield from records(19)
        while summary.accepted < durable_before:
            yield from records(10)
        begin_outage(server, store)
        yield from records(20)

    import_records(store, until_the_outage(), "default", summary)
    assert waited
    assert raw_event_count(store) == summary.accepted >= 39


@pytest.mark.slow
def test_an_outage_that_does_not_end_is_reported_as_one_and_what_was_committed_stays(
    store: Store, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK_EVENTS", 10)
    monkeypatch.setattr(outages, "MOST_SECONDS", 0.0)
    summary = ImportSummary()

    def until_the_outage() -> Iterator[FileRecord]:
        yield from records(19)
        while summary.accepted < 10:
            yield from records(10)
        begin_outage(server, store)
        yield from records(20)

    with pytest.raises((StoreError, DBAPIError)) as failed:
        import_records(store, until_the_outage(), "default", summary)
    assert is_store_failure(failed.value)
    end_outage(server, store)
    assert raw_event_count(store) >= summary.accepted >= 10


@pytest.fixture
def process(store: Store) -> Iterator[subprocess.Popen[str]]:
    """An import without end, in a session of its own."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", _ENDLESS],
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
    ) as running:
        yield running
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.slow
def test_its_processes_end_with_the_import_and_do_all_of_a_chunk_or_nothing(
    store: Store, process: subprocess.Popen[str], number: signal.Signals
) -> None:
    assert process.stdout is not None
    workers = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
    assert workers
    if number is signal.SIGINT:
        os.killpg(process.pid, number)  # Ctrl-C reaches every process of a terminal
    else:
        process.send_signal(number)
    printed, complaints = process.communicate(timeout=_SECONDS)
    _, running = psutil.wait_procs(workers, timeout=_SECONDS)
    assert not running
    assert "Traceback" not in complaints
    durable = raw_event_count(store)
    assert durable
    assert durable % 10 == 0
    if number is signal.SIGINT:
        assert durable == int(printed), "what was under way is finished and counted"


@pytest.mark.slow
def test_ctrl_c_while_a_chunk_is_handed_to_a_process_leaves_that_chunk_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importer, "CHUNK_EVENTS", 10)
    summary = ImportSummary()
    submit = ProcessPoolExecutor.submit

    def submit_and_interrupt(*arguments: Any, **more: Any) -> Any:
        future = submit(*arguments, **more)
        signal.raise_signal(signal.SIGINT)
        return future

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_records(store, records(100), "default", summary)
    assert raw_event_count(store) == summary.accepted == 10
