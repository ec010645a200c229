"""The senders of the HTTP benchmarks, each a process of its own with several connections.

wrk sends the next request of a connection when the last one is answered, and costs next to nothing
on the cores that it shares. One in Python sends at a given rate.
"""

import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

_SCRIPT = Path(__file__).with_name("send.lua")
_ANSWER_BYTES = 65_536
_END_OF_HEADERS = b"\r\n\r\n"


class Sent(NamedTuple):
    """What one sending measured."""

    seconds: float
    acknowledged: int
    """Requests answered with 200."""
    refused: int
    """Requests answered with anything else."""
    latencies: list[float]
    """Seconds from the moment a request was due to its answer."""


def request(path: str, body: bytes, port: int) -> bytes:
    """The bytes of a POST request on a connection that stays open."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def batches(payloads: Sequence[bytes], size: int, token: str) -> list[bytes]:
    """Bodies of so many events each, as SDKs send them."""
    head = b'{"api_key":"' + token.encode() + b'","batch":['
    return [
        head + b",".join(payloads[start : start + size]) + b"]}"
        for start in range(0, len(payloads), size)
    ]


class Answered(NamedTuple):
    """What wrk measured."""

    requests: int
    refused: int
    """Requests answered with an error, or not in time."""
    seconds: float


def wrk() -> str:
    """The path of wrk."""
    found = shutil.which("wrk")
    assert found, "wrk sends the requests; install Debian's package wrk"
    return found


def send_at_once(port: int, path: str, bodies: Iterable[bytes], connections: int) -> Answered:
    """Send bodies by wrk, as fast as they are answered. What the other connections wait for when
    the last one is answered is not counted."""
    with tempfile.NamedTemporaryFile() as file:
        file.writelines(body + b"\n" for body in bodies)
        file.flush()
        at_most = ["--threads", "1", "--duration", "3600s", "--timeout", "30s"]
        command = [wrk(), *at_most, "--connections", str(connections), "--script", str(_SCRIPT)]
        address = f"http://127.0.0.1:{port}{path}"
        done = subprocess.run([*command, address, "--", file.name], capture_output=True, check=True)
    _, _, found = done.stdout.partition(b"RESULT ")
    requests, refused, microseconds = map(int, found.split())
    return Answered(requests, refused, microseconds / 1e6)


def send(port: int, requests: Sequence[bytes], connections: int, rate: float) -> Sent:
    """Send all requests from a process of its own; `rate` is requests a second, all together."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(send_here, port, list(requests), connections, rate).result()


def send_here(port: int, requests: Iterable[bytes], connections: int, rate: float | None) -> Sent:
    """As `send`, in this process."""
    # Open-loop where there is a rate: a request that the server kept waiting counts from the moment
    # it was due, not from when there was a connection for it.
    upcoming = iter(enumerate(requests))
    lock = threading.Lock()
    latencies: list[float] = []
    refused = [0]
    started = time.perf_counter()

    def one_connection() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                with lock:
                    number, content = next(upcoming, (0, b""))
                if not content:
                    return
                due = time.perf_counter()
                if rate is not None:
                    due = started + number / rate
                    time.sleep(max(0.0, due - time.perf_counter()))
                connection.sendall(content)
                if _is_good(connection):
                    latencies.append(time.perf_counter() - due)
                else:
                    refused[0] += 1

    threads = [threading.Thread(target=one_connection) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sent(time.perf_counter() - started, len(latencies), refused[0], latencies)


def _is_good(connection: socket.socket) -> bool:
    answer = b""
    while not is_whole(answer):
        more = connection.recv(_ANSWER_BYTES)
        assert more, "the server has ended the connection"
        answer += more
    return is_good(answer)


def is_whole(answer: bytes) -> bool:
    """Whether these bytes are an answer with all of its body."""
    head, ended, body = answer.partition(_END_OF_HEADERS)
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0] or 0)
    return bool(ended) and len(body) >= length


def is_good(answer: bytes) -> bool:
    """Whether an answer is 200."""
    return answer.startswith(b"HTTP/1.1 200")
