"""The processes that commit: given up when they hang, and ended in time."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psutil
import psycopg
import pytest

from enrichment_pipeline.events.raw_event import Arrival
from enrichment_pipeline.ingest.api import writers as module
from enrichment_pipeline.ingest.api.accept import Origin, Submission
from enrichment_pipeline.ingest.api.writers import Writers
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreUnavailableError
from enrichment_pipeline_tests.conftest import make_event

_SECONDS = 60
NOW = datetime.now(UTC)


def submission() -> Submission:
    return Submission(Origin("api"), "shop", [make_event(at=NOW)], Arrival(NOW))


def commit(writers: Writers) -> Any:
    async def once() -> Any:
        return await writers.commit([submission()])

    return asyncio.run(once())


@contextmanager
def running(store: Store, processes: int = 1) -> Iterator[Writers]:
    """Writers that have committed, so that their processes are there."""
    writers = Writers(store, processes)
    try:
        assert commit(writers).result.accepted == 1
        yield writers
    finally:
        writers.close()


@contextmanager
def no_commit_ends(database: str) -> Iterator[None]:
    """As when nobody is at the other end of a connection any more."""
    with psycopg.connect(database) as connection:
        connection.execute("LOCK TABLE raw_batch")
        yield


def waiting(database: str) -> int:
    """How many commits PostgreSQL is at work on."""
    with psycopg.connect(database) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'raw_batch'::regclass"
        ).fetchone()
    return int(found[0]) if found else 0


def wait_until_waiting(database: str, how_many: int) -> None:
    deadline = time.monotonic() + _SECONDS
    while waiting(database) != how_many:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def committing() -> list[psutil.Process]:
    """The processes of this one that commit."""
    children = psutil.Process().children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_a_commit_that_hangs_is_given_up_and_the_next_one_goes_through(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(store) as writers:
        monkeypatch.setattr(module, "COMMIT_SECONDS", 1)
        with no_commit_ends(database):
            with pytest.raises(StoreUnavailableError, match="more than 1 seconds"):
                commit(writers)
            # The server lets go of it too, though the lock that it waits for is still held.
            wait_until_waiting(database, 0)
        monkeypatch.setattr(module, "COMMIT_SECONDS", _SECONDS)
        assert commit(writers).result.accepted == 1


@pytest.mark.slow
def test_closing_ends_a_process_that_hangs(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSE_SECONDS", 0.5)

    async def begin(writers: Writers) -> None:
        hanging = asyncio.create_task(writers.commit([submission()]))
        await asyncio.to_thread(wait_until_waiting, database, 1)
        hanging.cancel()

    with running(store) as writers, no_commit_ends(database):
        asyncio.run(begin(writers))
        hanging = committing()
        began = time.monotonic()
        writers.close()
        assert time.monotonic() - began < _SECONDS / 2
    assert hanging
    assert psutil.wait_procs(hanging, _SECONDS)[1] == []


@pytest.mark.slow
def test_a_signal_to_all_processes_leaves_what_is_under_way_to_be_finished(
    store: Store, database: str
) -> None:
    with running(store) as writers:
        results: list[Any] = []
        with no_commit_ends(database):
            work = threading.Thread(target=lambda: results.append(commit(writers)))
            work.start()
            wait_until_waiting(database, 1)
            for process in committing():
                process.terminate()
                process.send_signal(2)
            time.sleep(0.5)
        work.join(_SECONDS)
        assert [accepted.result.accepted for accepted in results] == [1]


@pytest.mark.parametrize("sent_at", [None, NOW, NOW.replace(tzinfo=None)])
def test_a_process_gets_what_was_submitted(sent_at: datetime | None) -> None:
    sent = Submission(
        Origin("api", historical=True), "shop", [b"{\xff"], Arrival(NOW, sent_at, "$x")
    )
    [received] = module._decode(module._encode([sent]))
    assert (received.origin, received.project) == (sent.origin, sent.project)
    assert (received.payloads, received.arrival) == (sent.payloads, sent.arrival)
