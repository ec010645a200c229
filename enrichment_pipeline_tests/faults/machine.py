"""The whole pipeline as `enrichment-pipeline up` runs it, and the faults that are Dagster's: its
runs, code servers and daemon are killed while they are at work.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg

from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import connect_store
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.faults.injections import Fault
from enrichment_pipeline_tests.faults.stage import Alerts, Load, Stage

_READY_SECONDS = 180
_STOP_SECONDS = 90
_AT_WORK_SECONDS = 90
_AGAIN_SECONDS = 60
_RUNS = "Ctrl-C stops everything"
_WAS_KILLED = " was killed by signal 9; "


class Machine(Stage):
    """What `up` runs. What it says of services that ended counts as an alert."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.alerts = Alerts()
        self.port = free_port()
        self.said: list[str] = []
        self._ready = threading.Event()
        self.up = subprocess.Popen(
            [str(Path(sys.executable).with_name("enrichment-pipeline")), "up"],
            env={
                **os.environ,
                "ENRICHMENT_HOME": str(home),
                "ENRICHMENT_API_PORT": str(self.port),
                "ENRICHMENT_UI_PORT": str(free_port()),
                "ENRICHMENT_SENSOR_SECONDS": "2",
                "ENRICHMENT_ALERT_WEBHOOK": self.alerts.url,
                "ENRICHMENT_ALERT_SENSOR_MINUTES": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        try:
            ready = self._ready.wait(_READY_SECONDS)
            assert ready, "".join(self.said)
            assert self.up.poll() is None, "".join(self.said)
            self.store = connect_store(Settings(home=home))
        except BaseException:
            self._end()
            raise

    def service(self, words: str) -> psutil.Process:
        """The process of a service, by words of its command."""
        for process in psutil.Process(self.up.pid).children():
            if words in " ".join(process.cmdline()):
                return process
        raise LookupError(words)

    def at_work(self) -> psutil.Process:
        """The process of a run that has batches under lease; waits for one."""
        found: list[int] = []

        def is_there() -> bool:
            with self.connect() as connection:
                rows = connection.execute(
                    """
                    SELECT substring(application_name FROM '[0-9]+$')::int FROM pg_stat_activity
                    WHERE wait_event_type = 'Lock' AND application_name LIKE 'enrichment-pipeline%'
                    """
                )
                found[:] = [pid for (pid,) in rows if psutil.pid_exists(pid)]
            return bool(found)

        self.wait_until(is_there, "a run is at work", _AT_WORK_SECONDS)
        return psutil.Process(found[0])

    @contextmanager
    def run_in_the_middle(self) -> Iterator[psutil.Process]:
        """A run that has claimed its batches and waits, until the block ends, to write them."""
        # Where PostgreSQL is what is killed, the lock has gone with it.
        with suppress(psycopg.OperationalError), self.connect() as connection:
            connection.execute("LOCK TABLE enriched_event IN SHARE MODE")
            yield self.at_work()

    def close(self) -> None:
        """Stop everything."""
        self.store.close()
        self._end()

    def _end(self) -> None:
        if self.up.poll() is None:
            self.up.send_signal(signal.SIGTERM)
        try:
            self.up.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.up.kill()
            self.up.wait()
        self._listener.join(_STOP_SECONDS)
        self.alerts.close()

    def _listen(self) -> None:
        assert self.up.stdout is not None
        with self.up.stdout as output:
            for line in output:
                self.said.append(line)
                if _RUNS in line:
                    self._ready.set()
                if _WAS_KILLED in line:
                    name = line.removeprefix("error: ").partition(_WAS_KILLED)[0]
                    self.alerts.kinds.add(f"up: {name}")
        self._ready.set()  # it has ended, ready or not


@contextmanager
def machine(home: Path) -> Iterator[Machine]:
    """What `up` runs, stopped at the end of the block."""
    running = Machine(home)
    try:
        yield running
    finally:
        running.close()


def _machine(stage: Stage) -> Machine:
    assert isinstance(stage, Machine)
    return stage


def _kill_run(stage: Stage, load: Load, seconds: float) -> None:
    with _machine(stage).run_in_the_middle() as run:
        run.kill()


def _kill_service(stage: Machine, words: str) -> None:
    """Kill a service, and wait until `up` has started it again."""
    killed = stage.service(words)
    killed.kill()

    def is_there_again() -> bool:
        try:
            return stage.service(words).pid != killed.pid
        except (LookupError, psutil.NoSuchProcess):
            return False

    stage.wait_until(is_there_again, f"{words} is started again", _AGAIN_SECONDS)


def _kill_code_server(stage: Stage, load: Load, seconds: float) -> None:
    with _machine(stage).run_in_the_middle():
        _kill_service(_machine(stage), "enrichment_pipeline.orchestration.definitions")


def _kill_daemon(stage: Stage, load: Load, seconds: float) -> None:
    with _machine(stage).run_in_the_middle():
        _kill_service(_machine(stage), "enrichment_pipeline.orchestration.daemon")


def _kill_api(stage: Stage, load: Load, seconds: float) -> None:
    # While requests come in, some are being committed.
    _kill_service(_machine(stage), "enrichment-pipeline api")


def _kill_postgres(stage: Stage, load: Load, seconds: float) -> None:
    with _machine(stage).run_in_the_middle():
        postmaster = stage.postmaster()
        children = postmaster.children(recursive=True)
        postmaster.kill()
        psutil.wait_procs([postmaster, *children], timeout=30)


MACHINE_FAULTS = (
    Fault("up: kill -9 of a run", _kill_run),
    Fault(
        "up: kill -9 of the code server",
        _kill_code_server,
        alerts=frozenset({"up: code-server-enrichment_pipeline"}),
    ),
    Fault("up: kill -9 of the daemon", _kill_daemon, alerts=frozenset({"up: daemon"})),
    Fault("up: kill -9 of the API", _kill_api, times=2, alerts=frozenset({"up: api"})),
    Fault("up: kill -9 of PostgreSQL", _kill_postgres),
)
"""Of one machine, on which they are tried in turn."""
