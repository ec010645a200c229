"""The API as a process: how it stops, and what it does when its store or its own processes fail."""

import json
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import psutil
import psycopg

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import rows
from enrichment_pipeline_tests.clients.serving import TOKEN, ApiProcess
from enrichment_pipeline_tests.conftest import make_event

_SECONDS = 60
_MB = 1024 * 1024


@contextmanager
def no_commit_ends(store: Store) -> Iterator[None]:
    """PostgreSQL takes connections and statements, but what the API asks for waits for a lock."""
    url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE raw_batch")
        yield


def body(events: int = 1, padding: int = 0) -> bytes:
    payloads = [
        make_event(
            at=datetime.now(UTC), uuid=str(uuid.uuid4()), properties={"padding": "x" * padding}
        )
        for _ in range(events)
    ]
    return json.dumps({"api_key": TOKEN, "batch": list(map(json.loads, payloads))}).encode()


def send(api_process: ApiProcess, content: bytes) -> httpx.Response:
    return httpx.post(f"{api_process.url}/batch/", content=content, timeout=_SECONDS)


def wait_for_a_commit(store: Store, how_many: int = 1) -> None:
    """Return when so many commits wait for the lock."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'raw_batch'::regclass"
    url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute(waiting).fetchone() < (how_many,):
            threading.Event().wait(0.02)


def test_a_request_under_way_is_committed_and_answered_before_the_api_stops(
    api_process: ApiProcess, store: Store
) -> None:
    with ThreadPoolExecutor() as pool:
        with no_commit_ends(store):
            answer = pool.submit(send, api_process, body())
            wait_for_a_commit(store)
            api_process.process.send_signal(signal.SIGTERM)
        assert answer.result(_SECONDS).status_code == 200
    assert api_process.process.wait(_SECONDS) == 0
    assert stored(store) == (1, 1)


def test_a_process_that_dies_costs_a_503_and_the_next_try_gets_in_once(
    api_process: ApiProcess, store: Store
) -> None:
    content = body()
    assert send(api_process, body()).status_code == 200
    with ThreadPoolExecutor() as pool, no_commit_ends(store):
        answer = pool.submit(send, api_process, content)
        wait_for_a_commit(store)
        for child in psutil.Process(api_process.process.pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
        assert answer.result(_SECONDS).status_code == 503
    assert [send(api_process, content).status_code for _ in range(2)] == [200, 200]
    assert stored(store) == (2, 2)


def test_while_the_store_hangs_memory_is_bounded_and_afterwards_all_goes_on(
    api_process: ApiProcess, store: Store
) -> None:
    large = [body(events=20, padding=700_000) for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        with no_commit_ends(store):
            answers: list[Future[httpx.Response]] = [
                pool.submit(send, api_process, content) for content in large
            ]
            assert {answer.result(_SECONDS).status_code for answer in answers} == {503}
            resident = psutil.Process(api_process.process.pid).memory_info().rss
            assert resident < 700 * _MB
        wait_until_free(api_process)
        for content in large:
            assert send(api_process, content).status_code == 200
    assert stored(store) == (400, 400)


def wait_until_free(api_process: ApiProcess) -> None:
    """Return when what the API had queued is committed."""
    while httpx.get(f"{api_process.url}/readyz", timeout=_SECONDS).status_code != 200:
        threading.Event().wait(0.1)


def stored(store: Store) -> tuple[int, int]:
    """How many events there are, and how many different ones."""
    [(events, distinct)] = rows(store, "SELECT count(*), count(DISTINCT uuid) FROM raw_event")
    return events, distinct
