"""A sender that is many browsers: each is a connection that sends one event now and then.

Its event loop is uvloop's: with so many connections that wait, wrk costs three times as much.
"""

import asyncio
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import expovariate
from typing import cast

import uvloop

from benchmarks import http_load

_ANSWER_SECONDS = 30
_POLL_SECONDS = 0.1
_SPARE_SOCKETS = 100


@dataclass
class Sent:
    """What the browsers have seen."""

    sent: int = 0
    acknowledged: int = 0
    """Requests answered with 200."""
    refused: int = 0
    """Requests answered with anything else."""
    broken: int = 0
    """Connections that the server has ended."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from the moment a request was due to its answer."""
    processor_seconds: float = 0
    """What the sender itself has spent, connecting left out."""


def send(port: int, bodies: Path, browsers: int, every: float, seconds: float) -> Sent:
    """Let so many browsers send for so many seconds, from a process of their own.

    `bodies` has one on each line. A browser sends the next event a random time after the answer to
    the last, `every` seconds on average (exponential: no browser knows of another, nor of when it
    sent last).
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_send_here, port, bodies, browsers, every, seconds).result()


def allow_sockets(count: int) -> None:
    """Let this process, and what it starts from now on, have so many connections open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _SPARE_SOCKETS
    assert hard == resource.RLIM_INFINITY or hard >= wanted, f"ulimit -Hn {hard}: {wanted} needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _send_here(port: int, bodies: Path, browsers: int, every: float, seconds: float) -> Sent:
    with bodies.open("rb") as lines:
        requests = (http_load.request("/batch/", line.rstrip(), port) for line in lines)
        return uvloop.run(_browse(port, requests, browsers, every, seconds))


class _Browser(asyncio.Protocol):
    """One of them: sends, waits for the answer, and plans its next event until the end."""

    def __init__(self, requests: Iterator[bytes], every: float, sent: Sent) -> None:
        self._loop = asyncio.get_running_loop()
        self._requests = requests
        self._every = every
        self._sent = sent
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def begin(self, ends: float) -> None:
        self._ends = ends
        self._plan()

    def _plan(self) -> None:
        self._due = self._loop.time() + expovariate(1 / self._every)
        if self._due < self._ends:
            self._loop.call_at(self._due, self._send)

    def _send(self) -> None:
        self._sent.sent += 1
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if http_load.is_whole(self._answer):
            self._sent.latencies.append(self._loop.time() - self._due)
            good = http_load.is_good(self._answer)
            self._sent.acknowledged += good
            self._sent.refused += not good
            self._answer = b""
            self._plan()

    def connection_lost(self, error: Exception | None) -> None:
        self._sent.broken += 1


async def _browse(
    port: int, requests: Iterator[bytes], browsers: int, every: float, seconds: float
) -> Sent:
    loop = asyncio.get_running_loop()
    sent = Sent()
    everyone = []
    for _ in range(browsers):
        made = loop.create_connection(lambda: _Browser(requests, every, sent), "127.0.0.1", port)
        everyone.append((await made)[1])
    before = time.process_time()
    ends = loop.time() + seconds
    for browser in everyone:
        browser.begin(ends)
    await asyncio.sleep(seconds)
    patience = loop.time() + _ANSWER_SECONDS
    while sent.acknowledged + sent.refused + sent.broken < sent.sent and loop.time() < patience:
        await asyncio.sleep(_POLL_SECONDS)
    sent.processor_seconds = time.process_time() - before
    return sent
