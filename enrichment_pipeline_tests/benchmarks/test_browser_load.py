"""The sender that is many browsers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.browser_load import send
from benchmarks.http_load import is_whole

pytestmark = pytest.mark.slow

BROWSERS = 20


class Answering(BaseHTTPRequestHandler):
    """Answers in two pieces, the head and the body; refuses what says so."""

    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self.send_response(503 if body == b"refuse" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.flush()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Nothing: pytest shows what a failed test needs."""


@contextmanager
def answering() -> Iterator[tuple[int, list[bytes]]]:
    Answering.bodies = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], Answering.bodies
        server.shutdown()
        thread.join()


def test_each_event_is_sent_once_and_its_answer_counted(tmp_path: Path) -> None:
    lines = [b"refuse" if number == 3 else b"%d" % number for number in range(1_000)]
    file = tmp_path / "bodies"
    file.write_bytes(b"\n".join(lines) + b"\n")
    with answering() as (port, received):
        sent = send(port, file, BROWSERS, every=0.1, seconds=0.5)
    assert sorted(received) == sorted(lines[: sent.sent])
    assert (sent.acknowledged, sent.refused, sent.broken) == (sent.sent - 1, 1, 0)
    assert len(sent.latencies) == sent.sent


def test_an_answer_is_whole_with_the_last_byte_of_its_body() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    assert [is_whole(answer[:end]) for end in range(len(answer) + 1)].index(True) == len(answer)
    assert is_whole(b"HTTP/1.1 204 No Content\r\n\r\n")
