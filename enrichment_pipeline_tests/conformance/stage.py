"""The stage: PostgreSQL, a broker, the API, workers and Dagster's sensor.

What is done to them belongs to `trials`. All are processes as users run them, but for the sensor:
it ticks in this process, and so do the runs that it launches.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
from celery import Celery

from enrichment_pipeline.events.raw_event import RawEvent
from enrichment_pipeline.orchestration.definitions import build_definitions
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, open_store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.choosing import broker_at
from enrichment_pipeline.workers.notifying import notify
from enrichment_pipeline.workers.queues import Queue
from enrichment_pipeline_tests.conformance.worker import DELIVERIES
from enrichment_pipeline_tests.conftest import free_port
from enrichment_pipeline_tests.faults.stage import Part as Process
from enrichment_pipeline_tests.processes import await_port
from enrichment_pipeline_tests.workers.parts.part import Part

GRACE_SECONDS = 5
_STOP_SECONDS = 30
_TICK_SECONDS = 1.0
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_LATENCY_SETTINGS = {"track_commit_timestamp": "on"}


class Stage:
    """Everything that runs around one broker, and a look at it."""

    def __init__(self, home: Path, part: Part) -> None:
        self.home = home
        self.part = part
        self.port = free_port()
        self.server = EmbeddedPostgres(home, _LATENCY_SETTINGS)
        self.server.start()
        address = self.server.address
        url = f"postgresql://{address.user}@/enrichment?host={address.host}&port={address.port}"
        self.environment = {
            **part.environment,
            "ENRICHMENT_HOME": str(home),
            "DATABASE_URL": url,
            "BROKER_URL": part.url,
            "ENRICHMENT_API_PORT": str(self.port),
            "ENRICHMENT_GRACE_SECONDS": str(GRACE_SECONDS),
            "PYTHONPATH": os.pathsep.join(sys.path),
            DELIVERIES: str(home / "deliveries"),
        }
        os.environ.update(self.environment)
        self.settings: Settings = load_settings()
        self.store: Store = open_store(self.settings)
        self.broker = broker_at(part.url)
        self.broker.declare()
        self.app: Celery = celery_app(self.broker)
        self._log = (home / "stage.log").open("ab")
        program = str(Path(sys.executable).with_name("enrichment-pipeline"))
        self.api = Process([program, "api"], self._log, self.environment)
        self.workers: list[Process] = []
        self.scale(2)
        self.dead_letter_worker = self._worker(Queue.DEAD_LETTER)
        self.sensor = Sensor(self.store, self.settings, home / "sensor.log")
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        await_port(self.port)

    def scale(self, count: int) -> float:
        """Let there be so many workers; those that are too many are asked to stop. Returns the
        seconds that the slowest one took to stop."""
        leaving = self.workers[count:]
        self.workers = self.workers[:count]
        began = time.monotonic()
        for worker in leaving:
            worker.process.send_signal(signal.SIGTERM)
        for worker in leaving:
            _end(worker)
        slowest = time.monotonic() - began if leaving else 0.0
        while len(self.workers) < count:
            self.workers.append(self._worker(Queue.ENRICH))
        return slowest

    def replace_worker(self, **variables: str) -> None:
        """Start one more with other settings, then stop the oldest, as a rolling release does."""
        self.workers.append(self._worker(Queue.ENRICH, **variables))
        oldest = self.workers.pop(0)
        oldest.process.send_signal(signal.SIGTERM)
        _end(oldest)

    def load(self, events: Sequence[RawEvent]) -> Sequence[int]:
        """Take events in without a notification, as a process does that dies after its commit;
        returns their batches."""
        return load_events(self.store, events, [], "test").batches

    def notify(self, batches: Sequence[int]) -> None:
        """One message more about these batches."""
        notify(self.app, batches)

    def deliveries(self) -> Counter[int]:
        """How often each batch was notified of at a worker, ever."""
        file = self.home / "deliveries"
        text = file.read_text(encoding="ascii") if file.exists() else ""
        return Counter(int(batch) for batch in text.split())

    def close(self) -> None:
        """Stop everything but the broker."""
        self._stop.set()
        self._watcher.join()
        self.sensor.close()
        self.scale(0)
        for process in (self.dead_letter_worker, self.api):
            process.process.send_signal(signal.SIGTERM)
        for process in (self.dead_letter_worker, self.api):
            _end(process)
        self.app.close()
        self.store.close()
        self.server.stop_using()
        self._log.close()

    def _worker(self, queue: Queue, **variables: str) -> Process:
        module = "enrichment_pipeline_tests.conformance.worker"
        command = [sys.executable, "-m", module, str(queue)]
        return Process(command, self._log, {**self.environment, **variables})

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            for process in (self.api, self.dead_letter_worker, *self.workers):
                process.watch()


class Sensor:
    """Dagster's sensor of what is due, and its runs, in a thread of this process."""

    def __init__(self, store: Store, settings: Settings, log: Path) -> None:
        self._log = log.open("a")
        self.runs = 0
        """Launched so far."""
        self._definitions = build_definitions(settings)
        self.is_paused = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Stop ticking."""
        self._stop.set()
        self._thread.join()
        self._log.close()

    def _run(self) -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            while not self._stop.wait(_TICK_SECONDS):
                if self.is_paused:
                    continue
                try:
                    self._tick(instance)
                except Exception:  # noqa: BLE001  as in Dagster, the next tick follows
                    traceback.print_exc(file=self._log)

    def _tick(self, instance: dg.DagsterInstance) -> None:
        sensor = self._definitions.resolve_sensor_def("due_windows")
        with dg.build_sensor_context(
            instance=instance,
            repository_def=self._definitions.get_repository_def(),
            resources={"pipeline": Pipeline()},
        ) as context:
            requests = sensor.evaluate_tick(context).run_requests or []
        for request in requests:
            self.runs += 1
            self._definitions.resolve_job_def(str(request.job_name)).execute_in_process(
                instance=instance,
                run_config={**request.run_config, **_QUIET},
                tags=dict(request.tags),
                raise_on_error=False,
            )


def kill(process: Process) -> None:
    """Kill a process with its children, as a machine that goes dark does."""
    with suppress(ProcessLookupError):
        os.killpg(process.process.pid, signal.SIGKILL)
    process.process.wait()


def _end(process: Process) -> None:
    try:
        process.process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        kill(process)


@contextmanager
def staged(home: Path, part: Part) -> Iterator[Stage]:
    """A stage around a broker that is there, closed at the end of the block."""
    stage = Stage(home, part)
    try:
        yield stage
    finally:
        stage.close()
