"""The ingest API over HTTP, against a bare COPY of the same events (the limit) and a FastAPI
endpoint that inserts each event with the ORM and commits (what a prototype does)."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles

import psutil
from sqlalchemy import text

from benchmarks import http_load
from benchmarks.copying import copy_rate, json_rows
from benchmarks.generate import generate_events
from benchmarks.measure import Rate, Report, free_port
from enrichment_pipeline.events.raw_event import Arrival, parse_event
from enrichment_pipeline.ingest.api.tokens import LOCAL_TOKEN
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.partitions import ensure_partitions

LIMIT = "(f) bare COPY as json into the same columns"
PEERS = {
    100: "(g) FastAPI, each event with the ORM, then a commit",
    1: "(g) the same, one event a request",
}
"""The prototype, by the events of a request."""


_CONNECTIONS = 8
_CONNECTIONS_OF_ONE = 32
_PEER_EVENTS = 2_000
_RATED_SECONDS = 20
_SIZES = (100, 20, 1)
_OF_LIMIT = {100: 0.85, 20: 0.6}
_OF_PEERS = {100: 10, 1: 5}
_STOP_SECONDS = 60
_WATCH_SECONDS = 5.0


def measure(
    report: Report, store: Store, events: int, rounds: int, start: datetime, soak_minutes: float
) -> None:
    """Measure all forms in turn, each round with events of its own; then latency and the soak."""
    per_size = {100: events, 20: events // 2, 1: events // 10}
    copies: list[float] = []
    peers: dict[int, list[float]] = {size: [] for size in PEERS}
    spent: list[float] = []
    sent: dict[int, list[float]] = {size: [] for size in _SIZES}
    with _served("enrichment-pipeline", "api", home=store.settings.home) as api:
        for number in range(rounds):
            for size in _SIZES:
                payloads = _payloads(per_size[size], 10 * number + size, start)
                if size == _SIZES[0]:
                    copies.append(_copy(store, payloads, start))
                before = api.processor_seconds()
                sent[size].append(_send(api.port, payloads, size))
                if size == 1:
                    spent.append((api.processor_seconds() - before) / len(payloads))
            with _served("python", "-m", "benchmarks.orm_api", home=store.settings.home) as peer:
                for size in PEERS:
                    peers[size].append(_send(peer.port, _payloads(_PEER_EVENTS, 7, start), size))
        report.add(Rate(LIMIT, events, copies))
        for size in _SIZES:
            name = f"API, batches of {size}, acknowledged"
            report.add(
                Rate(name, per_size[size], sent[size], against=LIMIT, target=_OF_LIMIT.get(size))
            )
        for size, name in PEERS.items():
            report.add(Rate(name, _PEER_EVENTS, peers[size]))
            again = f"API, batches of {size}, again"
            target = _OF_PEERS[size]
            report.add(Rate(again, per_size[size], sent[size], against=name, target=target))
        report.fact(
            "the process that speaks HTTP, for a request with one event",
            f"{1e6 * median(spent):.0f} µs of processor time",
            "≤ 80 µs",
        )
        best = sent[_SIZES[0]]
        half = sorted(best)[len(best) // 2] / 2
        _measure_latency(report, api, half, start)
        if soak_minutes:
            _soak(report, store, api, half, soak_minutes, start)


class _Server:
    """A server that runs: its port and its process."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process

    def processor_seconds(self) -> float:
        """Processor time of the processes that speak HTTP, so far: of those that listen."""
        return sum(sum(one.cpu_times()[:2]) for one in self._processes() if _listens(one))

    def _processes(self) -> list[psutil.Process]:
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def resident_mb(self) -> float:
        """Resident memory of it and its children."""
        return sum(one.memory_info().rss for one in self._processes()) / 1024**2


def _listens(process: psutil.Process) -> bool:
    connections = process.net_connections("tcp")
    return any(one.status == psutil.CONN_LISTEN for one in connections)


@contextmanager
def _served(*command: str, home: Path) -> Iterator[_Server]:
    port = free_port()
    program = str(Path(sys.executable).with_name(command[0]))
    process = subprocess.Popen(
        [program, *command[1:]],
        env={
            "PATH": "/usr/bin:/bin",
            "ENRICHMENT_HOME": str(home),
            "ENRICHMENT_API_PORT": str(port),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_until_ready(port, process)
        yield _Server(port, process)
    finally:
        process.terminate()
        process.wait(_STOP_SECONDS)


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.2)


def _payloads(count: int, seed: int, start: datetime) -> list[bytes]:
    # Seeds of their own: an event that was sent before is a duplicate, and costs less.
    return list(generate_events(count, seed=1_000_000 + seed + time.time_ns() % 10**9, start=start))


def _requests(port: int, payloads: Sequence[bytes], size: int) -> list[bytes]:
    bodies = http_load.batches(payloads, size, LOCAL_TOKEN)
    return [http_load.request("/batch/", body, port) for body in bodies]


def _send(port: int, payloads: Sequence[bytes], size: int) -> float:
    """Events acknowledged a second."""
    connections = _CONNECTIONS_OF_ONE if size == 1 else _CONNECTIONS
    bodies = http_load.batches(payloads, size, LOCAL_TOKEN)
    sent = http_load.send_at_once(port, "/batch/", bodies, connections)
    assert sent.refused == 0, sent.refused
    return sent.requests * size / sent.seconds


def _measure_latency(report: Report, api: _Server, rate: float, start: datetime) -> None:
    payloads = _payloads(int(rate * _RATED_SECONDS), 3, start)
    requests = _requests(api.port, payloads, 100)
    sent = http_load.send(api.port, requests, 4 * _CONNECTIONS, rate / 100)
    assert sent.refused == 0, sent.refused
    report.fact(
        "acknowledged, at half the rate of batches of 100",
        f"{percentiles(sent.latencies)}, at {rate:,.0f} events/s",
        "p99 ≤ 60 ms",
    )


def percentiles(latencies: Sequence[float]) -> str:
    cuts = quantiles(latencies, n=1_000)
    shown = {"p50": cuts[499], "p99": cuts[989], "p99.9": cuts[998]}
    return ", ".join(f"{name} {1_000 * seconds:.0f} ms" for name, seconds in shown.items())


def _soak(
    report: Report, store: Store, api: _Server, rate: float, minutes: float, start: datetime
) -> None:
    """Send at half the maximum for minutes, a piece at a time, and watch the memory."""
    before = _stored(store)
    memory: list[tuple[float, float]] = []
    latencies: list[float] = []
    began = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - began) < 60 * minutes:
        payloads = _payloads(int(rate * _RATED_SECONDS), sent, start)
        requests = _requests(api.port, payloads, 100)
        piece = http_load.send(api.port, requests, 4 * _CONNECTIONS, rate / 100)
        assert piece.refused == 0, piece.refused
        sent += len(payloads)
        latencies += piece.latencies
        memory.append((passed, api.resident_mb()))
    stored, distinct = (now - then for now, then in zip(_stored(store), before, strict=True))
    report.fact(
        f"soak of {minutes:g} min at half the rate of batches of 100: sent, lost, double",
        f"{sent:,}, {sent - distinct:,}, {stored - distinct:,}",
        "0, 0",
    )
    report.fact("soak: acknowledged", percentiles(latencies), "p99 ≤ 60 ms")
    slope = _slope(memory[len(memory) // 4 :])
    report.fact(
        "soak: resident memory, and its slope after the first quarter",
        f"{memory[-1][1]:,.0f} MB, {60 * slope:+.2f} MB/min",
        "flat",
    )


def _stored(store: Store) -> tuple[int, int]:
    with store.transaction() as connection:
        row = connection.execute(
            text("SELECT count(*), count(DISTINCT (project, uuid)) FROM raw_event")
        ).one()
    return int(row[0]), int(row[1])


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def _copy(store: Store, payloads: Sequence[bytes], start: datetime) -> float:
    """Events a second of a COPY of finished rows; making them is not counted."""
    events = [parse_event(payload, "bench", Arrival(start)) for payload in payloads]
    with store.transaction() as connection:
        ensure_partitions(connection, {event.occurred_at.date() for event in events})
    return copy_rate(store, json_rows(events))
