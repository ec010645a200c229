"""The stage: PostgreSQL, the API, a worker, and a sender that goes on sending, as real processes.

Whoever dies is started again, as a supervisor does it. What is done to them belongs to
`injections`.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, Protocol

import psutil
import psycopg
from sqlalchemy import Connection, text

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.embedded_server import ServerFiles
from enrichment_pipeline.store.database.engine import Store, open_store
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.faults.proxy import Proxy

_READY_SECONDS = 60
_BATCH = 10
_PAUSE_SECONDS = 0.02
_TIMEOUT = 15


class Load:
    """A sender, as an SDK is one: it keeps what is not acknowledged, and sends it again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._paused = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.acknowledged: set[str] = set()
        self.refused = 0
        """Requests that were answered otherwise, or not at all, and sent again."""

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def pause(self) -> None:
        """Send nothing more by itself."""
        self._paused.set()

    def send(self, *names: str) -> set[str]:
        """Send these events until they are acknowledged; returns their uuids."""
        events = [_event(name) for name in names]
        while not self._post(events):
            time.sleep(0.2)
        sent = {event["uuid"] for event in events}
        self.acknowledged |= sent
        return sent

    def _send(self) -> None:
        while not self._stop.is_set() and not self._paused.is_set():
            self.send(*(["page opened"] * _BATCH))
            time.sleep(_PAUSE_SECONDS)

    def _post(self, events: list[dict[str, str]]) -> bool:
        body = json.dumps({"api_key": "phc_local", "batch": events}, separators=(",", ":"))
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        try:
            connection.request("POST", "/batch/", body)
            answer = connection.getresponse()
            answer.read()
            taken = answer.status == 200
        except (OSError, http.client.HTTPException):
            taken = False
        finally:
            connection.close()
        self.refused += not taken
        return taken


def _event(name: str) -> dict[str, str]:
    return {
        "uuid": str(uuid.uuid4()),
        "event": name,
        "distinct_id": "user-1",
        "timestamp": datetime.now(UTC).isoformat(),
    }


class Alerts:
    """A receiver of alerts: the webhook, as a real HTTP server."""

    def __init__(self) -> None:
        alerts = self.kinds = set[str]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                alerts.add(json.loads(body)["kind"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """End the receiver."""
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Part:
    """A process that is started again when it ends."""

    command: list[str]
    log: IO[bytes]
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] = field(init=False)
    ends: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it."""
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def watch(self) -> None:
        """Start it again where it has ended."""
        if self.process.poll() is not None:
            self.ends += 1
            self.start()


class Stage:
    """Everything that runs, and a look at it."""

    def __init__(self, home: Path, environment: Mapping[str, str] | None = None) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.server = EmbeddedPostgres(home)
        self.server.start()
        address = self.server.address
        self.proxy = Proxy(Path(address.host) / f".s.PGSQL.{address.port}")
        url = f"postgresql://{address.user}@127.0.0.1:{self.proxy.port}/enrichment"
        direct = f"postgresql://{address.user}@/enrichment?host={address.host}&port={address.port}"
        self.store: Store = open_store(Settings(database_url=direct))
        self.alerts = Alerts()
        self.port = free_port()
        self._log = (home / "stage.log").open("ab")
        self._stop = threading.Event()
        shared = {
            "ENRICHMENT_HOME": str(home),
            "DATABASE_URL": url,
            "ENRICHMENT_API_PORT": str(self.port),
            "ENRICHMENT_ALERT_WEBHOOK": self.alerts.url,
            "PYTHONPATH": os.pathsep.join(sys.path),
            **(environment or {}),
        }
        program = str(Path(sys.executable).with_name("enrichment-pipeline"))
        self.api = Part([program, "api"], self._log, shared)
        worker = [sys.executable, "-m", "enrichment_pipeline_tests.faults.worker"]
        self.worker = Part(worker, self._log, shared)
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        self.wait_until(self._is_ready, "the API is ready", _READY_SECONDS)

    def execute(self, statement: str) -> None:
        """Run a statement on the store, past the proxy."""
        with self.store.transaction() as connection:
            connection.execute(text(statement))

    def connect(self) -> "psycopg.Connection[Any]":
        """A connection of one's own, past the proxy."""
        url = self.store.engine.url.set(drivername="postgresql")
        return psycopg.connect(url.render_as_string(hide_password=False))

    def wait_until(self, is_so: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for something that happens in the other processes."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:g} s: {what}")
            time.sleep(0.1)

    def children(self, part: Part) -> list[psutil.Process]:
        """The processes of a part: itself, and its children."""
        process = psutil.Process(part.process.pid)
        return [process, *process.children(recursive=True)]

    def postmaster(self) -> psutil.Process:
        """The process of PostgreSQL that all others are children of."""
        pid = (ServerFiles.of(self.home).data / "postmaster.pid").read_text().split()[0]
        return psutil.Process(int(pid))

    def close(self) -> None:
        """Stop everything."""
        self._stop.set()
        self._watcher.join()
        self.proxy.thaw()
        for part in (self.worker, self.api):
            part.process.terminate()
        for part in (self.worker, self.api):
            try:
                part.process.wait(40)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()
        self.store.close()
        self.server.stop_using()
        self.proxy.close()
        self.alerts.close()
        self._log.close()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            for part in (self.api, self.worker):
                part.watch()

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextmanager
def staged(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """A stage, closed at the end of the block."""
    stage = Stage(home, environment)
    try:
        yield stage
    finally:
        stage.close()


@dataclass(frozen=True)
class Accounts:
    """What became of the events that were acknowledged."""

    under_way: int
    lost: int
    doubled: int
    dead: int
    pending: int
    balances: bool


class HasStore(Protocol):
    """Whatever has a store to look into."""

    store: Store


def accounts(stage: HasStore, acknowledged: set[str]) -> Accounts:
    """Compare what was acknowledged with what is in the store, row by row."""
    with stage.store.snapshot() as connection:
        enriched = _uuids(connection, "enriched_event")
        dead = _uuids(connection, "dead_letter WHERE uuid IS NOT NULL AND state = 'open'")
        kept = books(connection)
        counted = counted_books(
            connection, [window.window_start for window in kept], stage.store.window
        )
    there = set(enriched) | set(dead)
    return Accounts(
        under_way=len(acknowledged),
        lost=len(acknowledged - there),
        doubled=len(enriched) + len(dead) - len(there),
        dead=len(dead),
        pending=sum(window.pending for window in kept),
        balances=kept == counted and all(window.balances for window in kept),
    )


def _uuids(connection: Connection, source: str) -> list[str]:
    return [str(row) for row in connection.execute(text(f"SELECT uuid FROM {source}")).scalars()]
