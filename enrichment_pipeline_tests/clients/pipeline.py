"""The whole pipeline, as `enrichment-pipeline up` runs it, and a look into its store."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import HOUR, free_port

PROGRAM = Path(sys.executable).with_name("enrichment-pipeline")

EVENTS = 12
"""In a request."""

_SECONDS = 120


class Pipeline:
    """The whole pipeline, as `enrichment-pipeline up` runs it, and a look into its store."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ui_port, self.api_port = free_port(), free_port()
        self.ui = f"http://127.0.0.1:{self.ui_port}"

    @contextmanager
    def running(self, sensor_seconds: int = 3) -> Iterator[Store]:
        environment = {
            **os.environ,
            # Found by its name, it is named by that in what a person reads.
            "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
            "ENRICHMENT_HOME": str(self.home),
            "ENRICHMENT_UI_PORT": str(self.ui_port),
            "ENRICHMENT_API_PORT": str(self.api_port),
            "ENRICHMENT_SENSOR_SECONDS": str(sensor_seconds),
        }
        with (self.home / "up.log").open("wb") as log:
            up = subprocess.Popen([PROGRAM, "up"], env=environment, stdout=log, stderr=log)
        self.process = psutil.Process(up.pid)
        try:
            wait_until(lambda: "Dagster:" in (self.home / "up.log").read_text(), "up is ready", 300)
            with opened_store(Settings(home=self.home)) as store:
                yield store
        finally:
            up.terminate()
            up.wait(_SECONDS)

    def send(self, event: str, at: datetime | None = None) -> None:
        """Send events to the API, as a server's SDK does; they happened now or `at` that time."""
        when = {"timestamp": at.isoformat()} if at else {}
        batch = [{"event": event, "distinct_id": f"user-{n}", **when} for n in range(EVENTS)]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}/batch/",
            json.dumps({"api_key": "phc_local", "batch": batch}).encode(),
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 200

    def ask(self, query: str, **variables: object) -> dict[str, Any]:
        """The answer of Dagster's GraphQL."""
        request = urllib.request.Request(
            f"{self.ui}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        assert "errors" not in answer, answer
        return dict(answer["data"])


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = _SECONDS) -> None:
    """Wait for something outside the browser."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)


def counts(store: Store) -> tuple[int, int, int]:
    """Enriched, dead, pending; by the batches, and as counted."""
    with store.snapshot() as connection:
        kept = books(connection)
        windows = [window.window_start for window in kept]
        assert counted_books(connection, windows, HOUR) == kept
    return (
        sum(window.enriched for window in kept),
        sum(window.dead for window in kept),
        sum(window.pending for window in kept),
    )
