"""The API as several processes on one port: the real command, and what ends or kills them."""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

import psutil
import psycopg
import pytest

from enrichment_pipeline.ingest.api.app import Parts
from enrichment_pipeline.ingest.api.port import Port
from enrichment_pipeline.ingest.api.server import serve
from enrichment_pipeline.settings import Settings, SettingsError
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import free_port

PROGRAM = Path(sys.executable).with_name("enrichment-pipeline")
PROCESSES = 2

_SECONDS = 60
_EVENT = {"api_key": "phc_local", "event": "x", "distinct_id": "ann"}

pytestmark = pytest.mark.slow


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Api:
    """An API of two processes that speak HTTP."""

    def __init__(self, port: int, log: Path, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.log = log
        self.process = process

    def speakers(self) -> list[psutil.Process]:
        """The processes that accept connections."""
        children = psutil.Process(self.process.pid).children()
        return [one for one in children if self._listens(one)]

    def _listens(self, process: psutil.Process) -> bool:
        try:
            found = process.net_connections("tcp")
        except psutil.Error:
            return False
        return any(one.status == psutil.CONN_LISTEN for one in found)

    def wait_until_ready(self) -> None:
        until(lambda: len(self.speakers()) == PROCESSES)

    def family(self) -> list[psutil.Process]:
        """Its process and all that it has started; not the embedded PostgreSQL."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def send(self, _: int = 0) -> int:
        """Send an event on a connection of its own; returns the status."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/e/", json.dumps(_EVENT).encode()
        )
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            return int(response.status)

    def accepted(self) -> int:
        """What one of the processes, whichever it is, says of the events of all."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/metrics", headers={"Authorization": "Bearer read"}
        )
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            metrics = response.read().decode()
        found = re.search(r'^enrichment_events_accepted_total{source="api"} (.+)$', metrics, re.M)
        return int(float(found[1])) if found else 0


@contextmanager
def started(
    tmp_path: Path, limits: Callable[[], None] | None = None, **variables: str
) -> Iterator[Api]:
    port, log = free_port(), tmp_path / "api.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PROGRAM, "api"],
            env={
                **os.environ,
                "ENRICHMENT_API_PORT": str(port),
                "ENRICHMENT_API_PROCESSES": str(PROCESSES),
                "ENRICHMENT_READ_TOKEN": "read",
                **variables,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=limits,
        )
    try:
        yield Api(port, log, process)
    finally:
        # With all that it has started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.usefixtures("database")
def test_a_killed_process_is_started_again_while_the_other_goes_on_and_nothing_is_forgotten(
    tmp_path: Path,
) -> None:
    with started(tmp_path) as api:
        api.wait_until_ready()
        assert [api.send() for _ in range(20)] == [200] * 20
        until(lambda: api.accepted() == 20)
        killed, other = api.speakers()
        killed.kill()
        psutil.wait_procs([killed], _SECONDS)
        assert [api.send() for _ in range(10)] == [200] * 10
        assert api.accepted() >= 20
        api.wait_until_ready()
        assert other in api.speakers()
        assert [api.send() for _ in range(10)] == [200] * 10
        until(lambda: api.accepted() == 40)
        lines = [line for line in api.log.read_text().splitlines() if "WARNING" in line]
        assert len(lines) == 1
        assert f"({killed.pid}), which speaks HTTP, was killed by signal 9" in lines[0]
        family = api.family()
        api.process.kill()
        api.process.wait()
        assert psutil.wait_procs(family, _SECONDS)[1] == [], "they outlive the first process"


@pytest.mark.parametrize("asks", ["SIGTERM to the first process", "Ctrl-C"])
def test_when_it_is_stopped_what_is_under_way_in_every_process_is_committed_and_answered(
    asks: str, database: str, tmp_path: Path
) -> None:
    with started(tmp_path) as api, ThreadPoolExecutor(16) as senders:
        api.wait_until_ready()
        with psycopg.connect(database) as connection:
            connection.execute("LOCK TABLE raw_batch")
            answers = senders.map(api.send, range(16))
            until(lambda: connected(api) == 16)
            family = api.family()
            if asks == "Ctrl-C":
                os.killpg(api.process.pid, signal.SIGINT)
            else:
                api.process.terminate()
            until(lambda: not api.speakers())
            assert api.process.poll() is None
        assert list(answers) == [200] * 16
        assert api.process.wait(_SECONDS) == 0
        assert psutil.wait_procs(family, _SECONDS)[1] == []
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM raw_event").fetchall() == [(16,)]


@pytest.mark.usefixtures("database")
def test_connections_are_limited_by_what_the_process_may_open_not_by_what_it_starts_with(
    tmp_path: Path,
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (100, hard))
    with started(tmp_path, few) as api, ExitStack() as stack:
        api.wait_until_ready()
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", api.port)))
        until(lambda: connected(api) == 300)
        assert api.send() == 200


def connected(api: Api) -> int:
    return sum(
        connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == api.port
        for process in api.speakers()
        for connection in process.net_connections("tcp")
    )


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("variable", "value"), [("ENRICHMENT_PROJECT_TOKENS", "="), ("BROKER_URL", "nosuch://x")]
)
def test_what_is_wrong_with_the_settings_is_one_line(
    variable: str, value: str, tmp_path: Path
) -> None:
    with started(tmp_path, **{variable: value}) as api:
        assert api.process.wait(_SECONDS) == 1
        about = ("API: ", "Pages: ")
        lines = [one for one in api.log.read_text().splitlines() if not one.startswith(about)]
        assert len(lines) == 1
        assert lines[0].startswith(f"error: {variable}")


def _no_parts_in_another_process(_: Store) -> Parts:
    if parent_process():
        raise SettingsError("no parts here")
    return Parts()


def test_a_process_that_cannot_start_ends_the_api_and_is_not_tried_again(
    store: Store, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    elsewhere = settings.model_copy(update={"api_port": port, "api_processes": PROCESSES})
    with pytest.raises(SystemExit, match="1"):
        serve(Store(elsewhere, store.engine, store.dagster_url), _no_parts_in_another_process)
    [line] = [one.message for one in caplog.records if "the API stops" in one.message]
    assert "ended with 1 before all were ready" in line


def test_a_port_that_another_api_has_is_not_shared_with_it() -> None:
    port = free_port()
    with Port("127.0.0.1", port, 2).taken(0), pytest.raises(OSError, match="in use"):
        Port("127.0.0.1", port, 2)
