"""The scaled mode end to end, from HTTP to the enriched row: API, RabbitMQ and a worker as users
run them, with the embedded mode and the peers beside it.

The stage of the scaled mode belongs here too; what a backlog costs belongs to `backlog`.
"""

import os
import queue
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from typing import IO, NamedTuple

import psutil

from benchmarks import celery_per_event, http_load, orm_queue
from benchmarks.embedded import (
    NOTES_COMMITS,
    Freshness,
    await_idle,
    freshness,
    last_batch,
    up,
    warm_up,
)
from benchmarks.generate import generate_events
from benchmarks.measure import Rate, Report, console, free_port, wait_until_stopped
from enrichment_pipeline.ingest.api.tokens import LOCAL_TOKEN
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline_tests.processes import await_port
from enrichment_pipeline_tests.workers.parts.rabbitmq import RabbitMQPart

CELERY = "(h) one Celery task per event, ORM, a commit each"
ORM = "(i) ORM, one row at a time, beside the scaled mode"

_RATE = 5_500
_BATCH = 20  # as posthog-node and a busy page of posthog-js send them
_CONNECTIONS = 32
_PEER_ROUNDS = 3
_EMBEDDED_SHARE = 0.4
_STOP_SECONDS = 60
_QUIET_SECONDS = 600


class Workers:
    """Workers of one process each that run, and what they report."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._lines: queue.Queue[str | None] = queue.Queue()

    def add(self, process: "subprocess.Popen[bytes]") -> None:
        """One more, whose errors are a pipe."""
        self._started.append(process)
        threading.Thread(target=self._read, args=(process.stderr,), daemon=True).start()

    def next_line(self) -> str:
        """The next line of any one's log, when it comes."""
        line = self._lines.get(timeout=_QUIET_SECONDS)
        assert line is not None, "a worker ended"
        return line

    def processes(self) -> list[psutil.Process]:
        """All of them, with the processes that they have forked."""
        parents = [psutil.Process(process.pid) for process in self._started]
        return [*parents, *(child for one in parents for child in one.children(recursive=True))]

    def _read(self, log: IO[bytes]) -> None:
        for line in log:
            self._lines.put(line.decode())
        self._lines.put(None)


class Stage(NamedTuple):
    """PostgreSQL, a store on it, and RabbitMQ."""

    store: Store
    broker_url: str

    @contextmanager
    def workers(self, count: int) -> Iterator[Workers]:
        """So many workers, ready; stopped at the end of the block."""
        command = ("worker", "--processes", "1")
        with ExitStack() as stack:
            workers = Workers()
            for _ in range(count):
                workers.add(stack.enter_context(self._started(*command, log=subprocess.PIPE)))
            for _ in range(count):
                while not workers.next_line().endswith(" ready.\n"):
                    pass
            yield workers

    @contextmanager
    def api(self) -> Iterator[int]:
        """The API; its port."""
        port = free_port()
        with self._started("api", ENRICHMENT_API_PORT=str(port)):
            await_port(port)
            yield port

    @contextmanager
    def _started(
        self, *command: str, log: int = subprocess.DEVNULL, **variables: str
    ) -> Iterator["subprocess.Popen[bytes]"]:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("enrichment-pipeline"), *command],
            env={
                "PATH": "/usr/bin:/bin",
                "ENRICHMENT_HOME": str(self.store.settings.home),
                "BROKER_URL": self.broker_url,
                **variables,
            },
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)


@contextmanager
def staged(home: Path) -> Iterator[Stage]:
    """A stage with its state in `home`, whose PostgreSQL notes the moment of each commit."""
    broker_home = home / "broker"
    broker_home.mkdir(parents=True)
    with (
        EmbeddedPostgres(home, NOTES_COMMITS),
        RabbitMQPart(broker_home) as part,
        opened_store(Settings(home=home)) as store,
    ):
        yield Stage(store, part.url)


class _Recording(NamedTuple):
    """Requests, made beforehand and kept in a file: minutes of them do not fit into memory."""

    file: Path
    lengths: Sequence[int]

    def first(self, seconds: float) -> "_Recording":
        """As many as are sent in so many seconds."""
        return self._replace(lengths=self.lengths[: int(seconds * _RATE / _BATCH)])

    @property
    def events(self) -> int:
        """Events in them."""
        return len(self.lengths) * _BATCH

    def read(self) -> Iterator[bytes]:
        """One after the other."""
        with self.file.open("rb") as recorded:
            for length in self.lengths:
                yield recorded.read(length)


class _Outcome(NamedTuple):
    """What became of a load."""

    fresh: Freshness
    acknowledged: Sequence[float]
    """Seconds from the moment a request was due to its answer."""


def measure(
    report: Report, home: Path, minutes: float, payloads: list[bytes], start: datetime
) -> None:
    """Measure the peers, the scaled mode for so many minutes, and the embedded one for less."""
    recording = _record(home, int(60 * minutes * _RATE), start)
    with staged(home / "scaled") as stage:
        _measure_peers(report, stage, payloads)
        with stage.workers(1), stage.api() as port:
            scaled = _load(stage.store, port, recording, start)
    _remove(home / "scaled")
    embedded_minutes = minutes * _EMBEDDED_SHARE
    embedded, seconds = _embedded(home / "embedded", recording.first(60 * embedded_minutes), start)
    _remove(home / "embedded")
    recording.file.unlink()
    targets = ("≥ 5,000 events/s", "p99 ≤ 2 s", "p99 ≤ 120 ms")
    _add_facts(report, "scaled mode", scaled, f"{minutes:g} min", targets)
    name = f"embedded mode, sensor every {seconds} s"
    _add_facts(report, name, embedded, f"{embedded_minutes:g} min", ("", "p95 ≤ 5 s", ""))


def _measure_peers(report: Report, stage: Stage, payloads: list[bytes]) -> None:
    celery, orm = [], []
    for _ in range(_PEER_ROUNDS):
        celery.append(celery_per_event.measure(stage.store, stage.broker_url, payloads))
        orm.append(orm_queue.measure(stage.store, payloads))
    report.add(Rate(CELERY, celery_per_event.EVENTS, celery))
    report.add(Rate(ORM, orm_queue.EVENTS, orm))


def _add_facts(
    report: Report, mode: str, outcome: _Outcome, length: str, targets: tuple[str, str, str]
) -> None:
    name = f"{mode}, HTTP to enriched row"
    fresh = outcome.fresh
    rate = fresh.events / fresh.seconds
    report.add(Rate(name, fresh.events, [rate], against=CELERY))
    report.add(Rate(f"{name}, again", fresh.events, [rate], against=ORM))
    offered = f"{_RATE:,} events/s offered for {length} in batches of {_BATCH}"
    report.fact(f"{mode}, {offered}: enriched", f"{rate:,.0f} events/s", targets[0])
    report.fact(
        f"{mode}: acknowledgement to enriched row",
        fresh.shown("p50", "p95", "p99", "longest"),
        targets[1],
    )
    cuts = quantiles(outcome.acknowledged, n=100)
    report.fact(
        f"{mode}: acknowledged meanwhile",
        f"p50 {1_000 * cuts[49]:.0f} ms, p99 {1_000 * cuts[98]:.0f} ms",
        targets[2],
    )


def _embedded(home: Path, recording: _Recording, start: datetime) -> tuple[_Outcome, int]:
    """What became of the load under `enrichment-pipeline up` without a broker, and how often its
    sensor looks."""
    with up(home) as here:
        warm_up(here.port, start)
        here.await_idle()
        return _load(here.store, here.port, recording, start), here.settings.sensor_seconds


def _record(home: Path, events: int, start: datetime) -> _Recording:
    console.print(f"Recording {events:,} events as requests …", highlight=False)
    lengths = []
    payloads = generate_events(events, seed=77, start=start)
    with (home / "requests").open("wb") as file:
        while some := list(islice(payloads, _BATCH)):
            [body] = http_load.batches(some, _BATCH, LOCAL_TOKEN)
            lengths.append(file.write(http_load.request("/batch/", body, port=0)))
        # What is left to be written would be written during the load.
        os.fsync(file.fileno())
        return _Recording(Path(file.name), lengths)


def _load(store: Store, port: int, recording: _Recording, start: datetime) -> _Outcome:
    """Send everything at the rate, wait until all is enriched, and look at the commits."""
    warm_up(port, start)
    await_idle(store)
    after = last_batch(store)
    console.print(f"Sending {recording.events:,} events …", highlight=False)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        sent = pool.submit(_send, port, recording).result()
    assert sent.refused == 0, sent.refused
    await_idle(store)
    found = freshness(store, after)
    assert found.events == recording.events, (found.events, recording.events)
    return _Outcome(found, sent.latencies)


def _send(port: int, recording: _Recording) -> http_load.Sent:
    """In a process of its own, as `http_load.send`, but from the file and without a pause."""
    return http_load.send_here(port, recording.read(), _CONNECTIONS, _RATE / _BATCH)


def _remove(home: Path) -> None:
    wait_until_stopped(home)
    shutil.rmtree(home)
