"""Receivers of messages: real HTTP servers on this machine that keep what they get."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import Any

SECRET = "very-secret-path"
SECONDS = 10


class Receiver:
    """A server, what it answers, and what it got."""

    def __init__(self) -> None:
        self.status = 200
        self.got: SimpleQueue[dict[str, Any]] = SimpleQueue()
        """The bodies it answered with a status below 300."""
        self.refused: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.release = threading.Event()
        """While it is not set, nothing is answered."""
        self.release.set()
        self.reached = threading.Event()
        self.port = 0

    @property
    def webhook(self) -> str:
        """Its URL, as a webhook."""
        return f"http://127.0.0.1:{self.port}/{SECRET}"

    @property
    def apprise(self) -> str:
        """Its URL, as a service of Apprise."""
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    def next(self) -> dict[str, Any]:
        """The next message that it took; waits for it."""
        return self.got.get(timeout=SECONDS)

    def next_refused(self) -> dict[str, Any]:
        """The next message that it did not take; waits for it."""
        return self.refused.get(timeout=SECONDS)

    def all(self) -> list[dict[str, Any]]:
        """What it has taken so far."""
        found = []
        try:
            while True:
                found.append(self.got.get_nowait())
        except Empty:
            return found


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that runs until the end of the block."""
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            kept.reached.set()
            kept.release.wait(SECONDS)
            (kept.got if kept.status < 300 else kept.refused).put(body)
            self.send_response(kept.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        kept.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield kept
        finally:
            kept.release.set()
            server.shutdown()
            thread.join()
