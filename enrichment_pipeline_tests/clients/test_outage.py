"""The store goes away while clients go on capturing: every event is there afterwards, once."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import psycopg
import pytest
from posthog import Posthog

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import enriched, rows
from enrichment_pipeline_tests.clients.node_client import NodeClient, node_client
from enrichment_pipeline_tests.clients.serving import TOKEN, Api, ApiProcess
from enrichment_pipeline_tests.outage import begin_outage, end_outage

pytestmark = pytest.mark.usefixtures("node_modules")

_AWAY_SECONDS = 20
_BEFORE_SECONDS = _AFTER_SECONDS = 1
_BETWEEN_EVENTS_SECONDS = 0.01

# As somebody sets them who wants to lose nothing; the defaults give up after a few seconds.
_PYTHON_OPTIONS = {"max_retries": 20, "flush_at": 50, "flush_interval": 0.5, "thread": 4}
_NODE_OPTIONS = {"fetchRetryCount": 60, "fetchRetryDelay": 1000, "flushAt": 50}

Capture = Callable[[str], object]
"""Captures an event with this uuid."""


@contextmanager
def gone(server: EmbeddedPostgres, store: Store) -> Iterator[None]:
    """The database ends its connections, and refuses new ones."""
    begin_outage(server, store)
    yield
    end_outage(server, store)


@contextmanager
def hanging(_: EmbeddedPostgres, store: Store) -> Iterator[None]:
    """The database takes connections, and no commit comes to an end."""
    url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE raw_batch")
        yield


def by_python(api: Api, mode: str, stack: ExitStack, failures: list[Exception]) -> Capture:
    posthog = Posthog(
        TOKEN,
        host=api.url,
        capture_mode=mode,
        on_error=lambda error, _: failures.append(error),
        **_PYTHON_OPTIONS,
    )
    stack.callback(posthog.shutdown)
    stack.callback(posthog.flush, timeout_seconds=None)
    return lambda event: posthog.capture(f"python {mode}", distinct_id="user-1", uuid=event)


def by_node(api: Api, mode: str, stack: ExitStack, complaints: list[str]) -> Capture:
    posthog: NodeClient = stack.enter_context(node_client(api, mode, **_NODE_OPTIONS))
    stack.callback(lambda: complaints.append(posthog.shut_down()))
    return lambda event: posthog.capture(f"node {mode}", "user-1", uuid=event)


def capture_until(stop: threading.Event, capture: Capture, captured: list[str]) -> None:
    while not stop.wait(_BETWEEN_EVENTS_SECONDS):
        event = str(uuid.uuid4())
        capture(event)
        captured.append(event)


@pytest.mark.parametrize("outage", [gone, hanging])
def test_clients_send_again_until_the_store_is_back_and_every_event_is_there_once(
    api_process: ApiProcess,
    server: EmbeddedPostgres,
    store: Store,
    rules: Rules,
    outage: Callable[[EmbeddedPostgres, Store], AbstractContextManager[None]],
) -> None:
    failures: list[Exception] = []
    complaints: list[str] = []
    captured: list[str] = []
    stop = threading.Event()
    with ExitStack() as clients:
        captures = [by_python(api_process, mode, clients, failures) for mode in ("v0", "v1")]
        captures += [by_node(api_process, mode, clients, complaints) for mode in ("v0", "v1")]
        load = [
            threading.Thread(target=capture_until, args=(stop, capture, captured))
            for capture in captures
        ]
        for thread in load:
            thread.start()
        time.sleep(_BEFORE_SECONDS)
        with outage(server, store):
            time.sleep(_AWAY_SECONDS)
        time.sleep(_AFTER_SECONDS)
        stop.set()
        for thread in load:
            thread.join()
    assert api_process.answers(503) > len(captures), "the clients hardly noticed"
    assert (failures, complaints) == ([], ["", ""])
    stored = [str(row.uuid) for row in rows(store, "SELECT uuid FROM raw_event")]
    assert sorted(stored) == sorted(captured)
    assert sorted(str(row.uuid) for row in enriched(store, rules)) == sorted(captured)
    assert rows(store, "SELECT 1 FROM dead_letter") == []
