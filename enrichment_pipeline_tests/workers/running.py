"""A worker as users start it, and notifications for it."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sqlalchemy import text

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.broker import Broker
from enrichment_pipeline.workers.notifying import notify
from enrichment_pipeline_tests.conftest import raw_events

SECONDS = 60

# Messages in kombu's envelope that are no notifications.
ENVELOPE = {"headers": {}, "properties": {"body_encoding": "base64", "delivery_info": {}}}
UNREADABLE = json.dumps({**ENVELOPE, "body": "x"}).encode()
WITHOUT_BODY = json.dumps({**ENVELOPE, "headers": {"id": "1", "task": "other"}}).encode()
OTHER_TASK = json.dumps(
    {**ENVELOPE, "headers": {"id": "1", "task": "other"}, "body": "e30="}
).encode()

_PROGRAM = Path(sys.executable).with_name("enrichment-pipeline")
READY = "ready."
_START = datetime(2026, 3, 1, tzinfo=UTC)


class Worker:
    """`enrichment-pipeline worker`, and what it says; DATABASE_URL and BROKER_URL are set."""

    def __init__(self, folder: Path, queue: str = "enrich", seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._log = folder / f"worker-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(_PROGRAM), "worker", "--processes", "1", "--queue", queue],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def says(self, words: str) -> bool:
        """Whether its log has these words."""
        return words in self._log.read_text(errors="replace")

    def await_that(self, holds: Callable[[], bool], seconds: float | None = None) -> None:
        """Return once it holds; fails after a while, with the log."""
        deadline = time.monotonic() + (self._seconds if seconds is None else seconds)
        while not holds():
            assert time.monotonic() < deadline, self._log.read_text(errors="replace")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, and the processes that it has."""
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children():
                child.kill()
            self.process.kill()
        self.process.wait()

    def child(self) -> psutil.Process:
        """The process that enriches."""
        [child] = psutil.Process(self.process.pid).children()
        return child


@contextmanager
def a_worker(folder: Path, queue: str = "enrich", seconds: float = SECONDS) -> Iterator[Worker]:
    """A worker that takes messages."""
    worker = Worker(folder, queue, seconds)
    try:
        worker.await_that(lambda: worker.says(READY))
        yield worker
    finally:
        worker.kill()


def loaded(store: Store) -> list[int]:
    """Load an event, and return the ids of its batches."""
    return list(load_events(store, raw_events(1, _START), [], "test").batches)


def notified(store: Store, broker: Broker, number: int) -> Callable[[], bool]:
    """Load an event and notify; gives whether all that was loaded is enriched, of so many."""
    notify(celery_app(broker), loaded(store))
    return lambda: enriched(store) == number


def enriched(store: Store) -> int:
    """How many events are."""
    with store.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM enriched_event")).scalar_one())
