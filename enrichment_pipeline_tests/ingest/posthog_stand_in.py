"""A stand-in for PostHog's query API, since PostHog itself cannot be had in a test.

It answers as https://posthog.com/docs/api/queries and PostHog's own source say: rows of a HogQL
query, at most as many as its LIMIT (fewer, where it clamps pages), properties as JSON in text, no
`hasMore` where there is a LIMIT, no OFFSET, 429 with Retry-After. Of HogQL it knows the two forms
of query that the pull sends, and refuses every other with 400.
"""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

KEY = "phx_stand_in"
PROJECT_ID = 12345
PATH = f"/api/projects/{PROJECT_ID}/query/"

_MOMENT = r"toDateTime64\('([^']+)', 6, 'UTC'\)"
_QUERY = re.compile(
    r"SELECT toString\(uuid\) AS uuid_text, event, distinct_id, "
    r"formatDateTime\(timestamp, '%Y-%m-%d %H:%i:%S.%f', 'UTC'\) AS occurred_at, properties, "
    r"elements_chain FROM events "
    rf"WHERE timestamp >= {_MOMENT} AND timestamp < {_MOMENT}"
    rf"( AND \(timestamp > {_MOMENT} OR toString\(uuid\) > '([^']+)'\))? "
    r"ORDER BY timestamp, toString\(uuid\) LIMIT (\d+)"
)
_COUNT = re.compile(
    rf"SELECT count\(\) FROM events WHERE timestamp >= {_MOMENT} AND timestamp < {_MOMENT}"
)

_Row = tuple[datetime, str, dict[str, Any]]


class Asked(NamedTuple):
    """A query that reached the server."""

    at: float
    """By the monotonic clock, in seconds."""
    start: datetime
    limit: int
    is_behind: bool
    """Whether it asked for what is behind an event."""


class Answer(NamedTuple):
    """What the server says in place of a page."""

    status: int
    body: dict[str, object] | bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012  nobody changes it
    cut_off: bool = False
    """Half of the page, and then the connection is closed."""


def throttled(retry_after: object) -> Answer:
    """429, as PostHog says it."""
    detail = "Request was throttled. Expected available in 1 second."
    body = {"type": "throttled_error", "code": "throttled", "detail": detail, "attr": None}
    return Answer(429, body, {} if retry_after is None else {"Retry-After": str(retry_after)})


def refused(status: int, detail: str) -> Answer:
    """An error of a kind, as PostHog says it."""
    return Answer(status, {"type": "error", "code": "error", "detail": detail, "attr": None})


CUT_OFF = Answer(200, cut_off=True)


class StandIn:
    """The server: the events that it has, what it is to answer first, what it was asked."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.clamp: int | None = None
        """Events of a page at the most, whatever is asked for."""
        self.unseen: list[dict[str, Any]] = []
        """Events that are counted, and in no page."""
        self.counts: list[datetime] = []
        """The starts of the windows whose events were counted."""
        self.script: deque[Answer | None] = deque()
        """What to answer to the next queries; None: the page."""
        self.asked: list[Asked] = []
        self.bodies: list[dict[str, Any]] = []
        self.on_query: Callable[[], None] = lambda: None
        """Called when a query has come, before it is answered."""
        self.url = ""

    def add(self, *payloads: bytes) -> None:
        """Let PostHog have these events, given as an SDK sends them."""
        self.events.extend(json.loads(payload) for payload in payloads)

    def page_of(self, window: datetime) -> Answer:
        """The answer to who asks for the first events of an hour."""
        start, end = (f"{at:%Y-%m-%d %H:%M:%S}" for at in (window, window + timedelta(hours=1)))
        rows = self._page(self._between(start, end, self.events), 1_000)
        return Answer(200, {"results": rows})

    def answer(self, key: str | None, path: str, body: dict[str, Any]) -> Answer:
        """The answer to a request."""
        self.bodies.append(body)
        query = _QUERY.fullmatch(" ".join(body["query"]["query"].split()))
        if query:
            start, behind, limit = query.group(1, 3, 6)
            self.asked.append(Asked(time.monotonic(), _moment(start), int(limit), bool(behind)))
        self.on_query()
        scripted = self.script.popleft() if self.script else None
        if scripted and not scripted.cut_off:
            return scripted
        if key != f"Bearer {KEY}":
            return refused(401, "Invalid personal API key.")
        if path != PATH:
            return refused(404, "Project not found.")
        if count := _COUNT.fullmatch(" ".join(body["query"]["query"].split())):
            self.counts.append(_moment(count[1]))
            found = self._between(count[1], count[2], [*self.events, *self.unseen])
            return Answer(200, {"results": [[len(found)]], "columns": ["count()"]})
        if query is None or body["query"]["kind"] != "HogQLQuery":
            return refused(400, "Unable to parse the query.")
        page = {"results": self._rows(query), "columns": ["…"], "hasMore": None, "is_cached": False}
        return Answer(200, page, cut_off=bool(scripted))

    def _between(self, first: str, end: str, events: list[dict[str, Any]]) -> list[_Row]:
        return [
            (moment, event["uuid"], event)
            for event in events
            if _moment(first) <= (moment := datetime.fromisoformat(event["timestamp"]))
            and moment < _moment(end)
        ]

    def _rows(self, query: re.Match[str]) -> list[list[object]]:
        first, end, behind, after, uuid, limit = query.groups()
        found = [
            row
            for row in self._between(first, end, self.events)
            if not behind or row[0] > _moment(after) or row[1] > uuid
        ]
        return self._page(found, min(int(limit), self.clamp or int(limit)))

    def _page(self, found: list[_Row], most: int) -> list[list[object]]:
        return [
            [
                uuid,
                event["event"],
                event["distinct_id"],
                f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}",
                # Where a test cares for how they are written, it gives the text.
                text if isinstance(text := event["properties"], str) else json.dumps(text),
                event.get("elements_chain", ""),
            ]
            for moment, uuid, event in sorted(found, key=lambda row: row[:2])[:most]
        ]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A server on a free port of this machine, until the end of the block."""
    posthog = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = posthog.answer(self.headers.get("Authorization"), self.path, body)
            content = answer.body if isinstance(answer.body, bytes) else encoded(answer.body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if answer.cut_off else content)

        def log_message(self, *_: object) -> None:
            """Say nothing: what was asked is in `asked`."""

    def encoded(body: dict[str, object]) -> bytes:
        return json.dumps(body).encode()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    posthog.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield posthog
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
