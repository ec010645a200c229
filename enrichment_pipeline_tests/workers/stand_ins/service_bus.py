"""A stand-in for Azure Service Bus: queues with locks, as much of them as the client needs.

`python -m enrichment_pipeline_tests.workers.stand_ins.service_bus AMQP_PORT ADMIN_PORT [FILE]`.
AMQP 1.0 without TLS, the administration over plain HTTP, as Microsoft's emulator has them; whoever
comes is let in. Messages and locks are in the file. There are no topics, sessions, schedules or
renewals of locks.

Source of the protocol: Microsoft's guides "AMQP 1.0 in Azure Service Bus protocol guide" and
"request/response-based operations", and the client itself.
"""

import sqlite3
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import isodate
from proton import Condition, Delivery, Message, symbol, timestamp
from proton.handlers import MessagingHandler
from proton.reactor import Container

_CHECK_SECONDS = 0.1
"""Between two checks for locks that have expired."""

_DEAD_LETTERS = "/$DeadLetterQueue"
_MANAGEMENT = "/$management"
_LOCK_LOST = "com.microsoft:message-lock-lost"

_ATOM = "http://www.w3.org/2005/Atom"
_SERVICE_BUS = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS queues (
    name text PRIMARY KEY, lock_seconds real, most_deliveries integer, forward text
);
CREATE TABLE IF NOT EXISTS messages (
    number integer PRIMARY KEY AUTOINCREMENT, queue text NOT NULL, content blob NOT NULL,
    deliveries integer NOT NULL DEFAULT 0, lock text UNIQUE, locked_until real
);
CREATE INDEX IF NOT EXISTS waiting ON messages (queue, number) WHERE lock IS NULL;
"""


class Taken(NamedTuple):
    """A message that was locked for a receiver."""

    number: int
    content: bytes
    deliveries: int
    lock: str
    locked_until: float


class Queues:
    """Queues and messages, for the threads of both protocols."""

    def __init__(self, file: str) -> None:
        self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
        # Survives a killed process, and need not survive more.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_SCHEMA)
        self._lock = threading.Lock()

    def make(self, name: str, lock_seconds: float, most_deliveries: int, forward: str) -> bool:
        """Whether it was not there yet."""
        sql = "INSERT OR IGNORE INTO queues VALUES (?, ?, ?, ?)"
        return self._run(sql, name, lock_seconds, most_deliveries, forward).rowcount == 1

    def find(self, name: str) -> tuple[float, int, str] | None:
        """Seconds of a lock, most deliveries, and where dead letters go."""
        sql = "SELECT lock_seconds, most_deliveries, forward FROM queues WHERE name = ?"
        found: tuple[float, int, str] | None = self._run(sql, name).fetchone()
        return found

    def count(self, name: str) -> int:
        """Messages in the queue, locked ones too."""
        return int(self._run("SELECT count(*) FROM messages WHERE queue = ?", name).fetchone()[0])

    def put(self, name: str, content: bytes) -> None:
        """Add a message."""
        self._run("INSERT INTO messages (queue, content) VALUES (?, ?)", name, content)

    def take(self, name: str) -> Taken | None:
        """Lock the oldest message that waits."""
        settings = self.find(name.removesuffix(_DEAD_LETTERS))
        assert settings
        # It is the tag of the delivery too, which the library wants as text.
        lock, until = uuid.uuid4().hex[:16], time.time() + settings[0]
        sql = """UPDATE messages SET lock = ?, locked_until = ? WHERE number = (
            SELECT number FROM messages WHERE queue = ? AND lock IS NULL ORDER BY number LIMIT 1
        ) RETURNING number, content, deliveries, lock, locked_until"""
        found = self._run(sql, lock, until, name).fetchone()
        return Taken(*found) if found else None

    def complete(self, lock: str) -> bool:
        """Whether the lock still held."""
        return self._run("DELETE FROM messages WHERE lock = ?", lock).rowcount == 1

    def release(self, lock: str) -> bool:
        """Give a message back that nobody has seen."""
        sql = "UPDATE messages SET lock = NULL, locked_until = NULL WHERE lock = ?"
        return self._run(sql, lock).rowcount == 1

    def abandon(self, lock: str) -> bool:
        """Give a message back; it is dead where it was delivered too often."""
        sql = "UPDATE messages SET deliveries = deliveries + 1 WHERE lock = ? "
        found = self._run(sql + "RETURNING queue, deliveries", lock).fetchone()
        settings = self.find(found[0]) if found else None
        return (
            self.dead_letter(lock) if settings and found[1] >= settings[1] else self.release(lock)
        )

    def dead_letter(self, lock: str) -> bool:
        """Make a dead letter of a message."""
        sql = """UPDATE messages SET lock = NULL, locked_until = NULL, deliveries = 0, queue = (
            SELECT coalesce(nullif(forward, ''), name || ?) FROM queues WHERE name = queue
        ) WHERE lock = ?"""
        return self._run(sql, _DEAD_LETTERS, lock).rowcount == 1

    def expire(self) -> bool:
        """Take back what was locked for too long; whether there was such."""
        sql = "SELECT lock FROM messages WHERE locked_until < ?"
        locks = [lock for (lock,) in self._run(sql, time.time()).fetchall()]
        for lock in locks:
            self.abandon(lock)
        return bool(locks)

    def _run(self, sql: str, *values: object) -> sqlite3.Cursor:
        with self._lock:
            return self._database.execute(sql, values)


class Broker(MessagingHandler):  # type: ignore[misc]
    """What is said over AMQP."""

    def __init__(self, port: int, queues: Queues) -> None:
        super().__init__(auto_settle=False)
        self._port, self._queues = port, queues
        self._settlements = {
            "completed": queues.complete,
            "abandoned": queues.abandon,
            "suspended": queues.dead_letter,
        }
        self._senders: list[Any] = []

    def on_start(self, event: Any) -> None:
        """Listen."""
        event.container.listen(f"127.0.0.1:{self._port}")
        event.container.schedule(_CHECK_SECONDS, self)

    def on_timer_task(self, event: Any) -> None:
        """Look for locks that have expired."""
        if self._queues.expire():
            self._deliver()
        event.container.schedule(_CHECK_SECONDS, self)

    def on_link_opening(self, event: Any) -> None:
        """Attach a link to the queue that it names."""
        link = event.link
        link.source.copy(link.remote_source)
        link.target.copy(link.remote_target)
        address = _address(link)
        if not self._is_known(address):
            link.condition = Condition("amqp:not-found", f"there is no entity {address}")
            link.close()
        elif link.is_sender:
            self._senders.append(link)

    def _is_known(self, address: str) -> bool:
        name = address.removesuffix(_MANAGEMENT).removesuffix(_DEAD_LETTERS)
        return address == "$cbs" or self._queues.find(name) is not None

    def on_link_closed(self, event: Any) -> None:
        """Forget the link; what it has locked stays so until the lock expires."""
        self._senders = [link for link in self._senders if link != event.link]

    def on_disconnected(self, event: Any) -> None:
        """The same for all links of the connection."""
        self._senders = [link for link in self._senders if link.connection != event.connection]

    def on_link_flow(self, event: Any) -> None:
        """Send what waits to whoever asks."""
        self._deliver()
        if event.link.is_sender and event.link.drain_mode:
            event.link.drained()

    def on_message(self, event: Any) -> None:
        """A message for a queue, or a request."""
        address = _address(event.link)
        if address == "$cbs":
            self._answer(event, address, {"status-code": 202, "status-description": "Accepted"})
        elif address.endswith(_MANAGEMENT):
            self._answer(event, address, self._managed(event.message))
        else:
            self._queues.put(address, event.message.encode())
            self._deliver()

    def on_accepted(self, event: Any) -> None:
        """A message is answered."""
        self._settle(event.delivery, self._queues.complete)

    def on_rejected(self, event: Any) -> None:
        """A message becomes a dead letter."""
        self._settle(event.delivery, self._queues.dead_letter)

    def on_released(self, event: Any) -> None:
        """A message comes back, as one that was delivered if it says so."""
        is_abandoned = event.delivery.remote_state == Delivery.MODIFIED
        self._settle(event.delivery, self._queues.abandon if is_abandoned else self._queues.release)

    def _settle(self, delivery: Any, settle: Callable[[str], bool]) -> None:
        if settle(delivery.tag):
            delivery.update(delivery.remote_state)
        else:
            delivery.local.condition = Condition(_LOCK_LOST)
            delivery.update(Delivery.REJECTED)
        delivery.settle()
        self._deliver()

    def _managed(self, request: Any) -> dict[str, object]:
        """Settle by lock, which a client does whose link has gone."""
        if request.properties["operation"] != "com.microsoft:update-disposition":
            return {"statusCode": 501, "statusDescription": "not here"}
        settle = self._settlements[request.body["disposition-status"]]
        locks = [token.bytes_le.decode() for token in request.body["lock-tokens"]]
        settled = [settle(lock) for lock in locks]
        if not all(settled):
            gone = {"statusCode": 410, "statusDescription": "Gone"}
            return {**gone, "errorCondition": symbol(_LOCK_LOST)}
        self._deliver()
        return {"statusCode": 200, "statusDescription": "OK"}

    def _answer(self, event: Any, address: str, properties: dict[str, object]) -> None:
        answer = Message(correlation_id=event.message.id, properties=properties)
        for link in self._senders:
            if link.connection == event.connection and _address(link) == address:
                link.send(answer)

    def _deliver(self) -> None:
        for link in self._senders:
            if _address(link) == "$cbs" or _address(link).endswith(_MANAGEMENT):
                continue
            while link.credit > 0 and (taken := self._queues.take(_address(link))):
                message = Message()
                message.decode(taken.content)
                message.delivery_count = taken.deliveries
                message.annotations = {
                    symbol("x-opt-sequence-number"): taken.number,
                    symbol("x-opt-locked-until"): timestamp(int(taken.locked_until * 1000)),
                }
                link.send(message, tag=taken.lock)


def _address(link: Any) -> str:
    address = (link.remote_source if link.is_sender else link.remote_target).address or ""
    return urlsplit(address).path.lstrip("/") if "://" in address else address


class Administration(BaseHTTPRequestHandler):
    """What is said over HTTP: queues are made and looked at."""

    queues: Queues

    def do_GET(self) -> None:
        """Describe a queue; for one that is not there, an empty list."""
        name = self._name()
        settings = self.queues.find(name)
        self._send(200, _entry(name, settings, self.queues.count(name)) if settings else _feed())

    def do_PUT(self) -> None:
        """Make a queue."""
        name = self._name()
        text = self.rfile.read(int(self.headers["Content-Length"]))
        body = ElementTree.fromstring(text)  # noqa: S314  it comes from our own tests
        lock = body.findtext(f".//{{{_SERVICE_BUS}}}LockDuration") or "PT1M"
        most = body.findtext(f".//{{{_SERVICE_BUS}}}MaxDeliveryCount") or "10"
        forward = body.findtext(f".//{{{_SERVICE_BUS}}}ForwardDeadLetteredMessagesTo") or ""
        seconds = isodate.parse_duration(lock).total_seconds()
        if not self.queues.make(name, seconds, int(most), forward.rsplit("/", 1)[-1]):
            self._send(409, b"<Error><Code>409</Code><Detail>it is there</Detail></Error>")
            return
        settings = self.queues.find(name)
        assert settings
        self._send(201, _entry(name, settings, 0))

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""

    def _name(self) -> str:
        return unquote(urlsplit(self.path).path).strip("/")

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/atom+xml;type=entry;charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _feed() -> bytes:
    return ElementTree.tostring(ElementTree.Element(f"{{{_ATOM}}}feed"))


def _entry(name: str, settings: tuple[float, int, str], messages: int) -> bytes:
    lock_seconds, most_deliveries, forward = settings
    entry = ElementTree.Element(f"{{{_ATOM}}}entry")
    ElementTree.SubElement(entry, f"{{{_ATOM}}}title").text = name
    content = ElementTree.SubElement(entry, f"{{{_ATOM}}}content", type="application/xml")
    queue = ElementTree.SubElement(content, f"{{{_SERVICE_BUS}}}QueueDescription")
    fields = {
        "LockDuration": isodate.duration_isoformat(isodate.Duration(seconds=lock_seconds)),
        "MaxDeliveryCount": str(most_deliveries),
        "MessageCount": str(messages),
        "ForwardDeadLetteredMessagesTo": forward,
    }
    for field, text in fields.items():
        if text:
            ElementTree.SubElement(queue, f"{{{_SERVICE_BUS}}}{field}").text = text
    details = ElementTree.SubElement(queue, f"{{{_SERVICE_BUS}}}CountDetails")
    inner = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
    ElementTree.SubElement(details, f"{{{inner}}}ActiveMessageCount").text = str(messages)
    return ElementTree.tostring(entry)


def main(arguments: Sequence[str]) -> None:
    """Serve until killed."""
    amqp_port, admin_port = int(arguments[0]), int(arguments[1])
    queues = Queues(arguments[2] if len(arguments) > 2 else ":memory:")
    Administration.queues = queues
    server = ThreadingHTTPServer(("127.0.0.1", admin_port), Administration)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Container(Broker(amqp_port, queues)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
