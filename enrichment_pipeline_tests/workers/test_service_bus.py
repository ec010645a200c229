"""Azure Service Bus: what is special about it. What all brokers do is tested for all at once."""

import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.servicebus.management import ServiceBusAdministrationClient
from celery import Celery

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.broker import BrokerError
from enrichment_pipeline.workers.brokers.choosing import broker_at
from enrichment_pipeline.workers.brokers.service_bus import ServiceBus
from enrichment_pipeline.workers.brokers.service_bus_transport import Transport
from enrichment_pipeline.workers.notifying import notify
from enrichment_pipeline.workers.queues import LOCK_SECONDS, MOST_DELIVERIES, Queue
from enrichment_pipeline_tests.conftest import raw_events
from enrichment_pipeline_tests.workers.parts.service_bus import ServiceBusPart

_SECONDS = 60
_STOP_SECONDS = 15
_EVENTS = 3
_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

_ENVELOPE = {
    "body": "",
    "properties": {"delivery_tag": "1", "delivery_info": {}, "body_encoding": "base64"},
}


@pytest.fixture
def part(tmp_path: Path) -> Iterator[ServiceBusPart]:
    """A namespace with nothing in it."""
    with ServiceBusPart(tmp_path) as running:
        yield running


@pytest.fixture
def broker(part: ServiceBusPart) -> ServiceBus:
    """The broker there, with its queues."""
    broker = ServiceBus(part.url)
    broker.declare()
    return broker


@pytest.fixture
def app(broker: ServiceBus) -> Iterator[Celery]:
    """Who publishes to it."""
    app = celery_app(broker)
    yield app
    app.close()


class Worker:
    """`enrichment-pipeline worker` as users run it, and what it says."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("BROKER_URL", url)
        program = str(Path(sys.executable).with_name("enrichment-pipeline"))
        self.said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            [program, "worker", "--processes", "1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line)

    def says(self, pattern: str) -> str:
        """Return once it has said something that matches, since the last time we listened."""
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {pattern!r} in: {''.join(self.said)}") from None
            self.said.append(line)
            if re.search(pattern, line):
                return line

    def stop(self) -> float:
        """Ask it to stop; returns the seconds that it took."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(_SECONDS) == 0
        return time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()


def load(store: Store, hour: int) -> list[int]:
    """Take in some events; returns their batches."""
    return list(
        load_events(store, raw_events(_EVENTS, _AT + timedelta(hours=hour)), [], "test").batches
    )


@contextmanager
def administration(broker: ServiceBus) -> Iterator[ServiceBusAdministrationClient]:
    """Microsoft's client for queues."""
    with broker._administration() as client:
        yield client


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("azureservicebus://root:some/key+1=@shop", "shop.servicebus.windows.net"),
        (
            "azureservicebus://root:key@shop.servicebus.windows.net",
            "shop.servicebus.windows.net",
        ),
        ("azureservicebus://DefaultAzureCredential@shop", "shop.servicebus.windows.net"),
        ("azureservicebus://ManagedIdentityCredential@shop", "shop.servicebus.windows.net"),
        ("azureservicebus://root:key@localhost:5672?emulator=5300", "localhost:5672"),
    ],
)
def test_a_namespace_is_found_in_the_url(url: str, host: str) -> None:
    broker = broker_at(url)
    assert isinstance(broker, ServiceBus)
    assert broker.namespace.host == host
    with broker.client() as client:
        assert client.fully_qualified_namespace == host


@pytest.mark.parametrize(
    "url",
    [
        "azureservicebus://",
        "azureservicebus://shop",
        "azureservicebus://root@shop",
        "azureservicebus://root:secret@",
        "azureservicebus://root:secret@shop:5672",
        "azureservicebus://root:secret@shop?emulator=5300",
        "azureservicebus://root:secret@shop/queue",
    ],
)
def test_a_url_that_is_wrong_is_refused_in_a_line_without_the_key(url: str) -> None:
    with pytest.raises(BrokerError, match="azureservicebus://POLICY:KEY@NAMESPACE") as caught:
        broker_at(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_url_for_people_has_no_key() -> None:
    shown = Transport.as_uri("azureservicebus://root:sec/ret@localhost:5672?emulator=5300")
    assert shown == "azureservicebus://**@localhost:5672?emulator=5300"


def test_queues_are_made_once_with_the_way_for_dead_letters(broker: ServiceBus) -> None:
    broker.declare()
    with administration(broker) as client:
        notifications = client.get_queue(str(Queue.ENRICH))
        letters = client.get_queue(str(Queue.DEAD_LETTER))
    assert notifications.forward_dead_lettered_messages_to == str(Queue.DEAD_LETTER)
    assert letters.forward_dead_lettered_messages_to is None
    for made in (notifications, letters):
        assert made.lock_duration == timedelta(seconds=LOCK_SECONDS)
        assert made.max_delivery_count == MOST_DELIVERIES


def test_who_may_make_no_queues_uses_those_that_are_there(
    app: Celery, broker: ServiceBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ClientAuthenticationError("Manage,EntityRead claims required")

    monkeypatch.setattr(ServiceBusAdministrationClient, "get_queue", refuse)
    notify(app, [1])
    assert broker.depth(Queue.ENRICH) == 1


def test_a_message_that_is_given_back_too_often_ends_in_the_second_queue(
    app: Celery, broker: ServiceBus
) -> None:
    notify(app, [1])
    with app.connection_for_read() as connection, connection.channel() as channel:
        for _ in range(MOST_DELIVERIES):
            assert broker.depth(Queue.ENRICH) == 1
            channel.basic_get(str(Queue.ENRICH)).requeue()
        assert channel.basic_get(str(Queue.ENRICH)) is None
        letter = channel.basic_get(str(Queue.DEAD_LETTER))
        assert letter.payload[0] == [[1]]
        letter.ack()
    assert (broker.depth(Queue.ENRICH), broker.depth(Queue.DEAD_LETTER)) == (0, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\x00\xfe",
        b"",
        b"17",
        b"{}",
        json.dumps({"properties": {"delivery_info": {}}}).encode(),
        json.dumps(_ENVELOPE | {"body": "not base64"}).encode(),
    ],
)
def test_a_message_that_nobody_can_read_becomes_a_dead_letter(
    part: ServiceBusPart, app: Celery, broker: ServiceBus, body: bytes
) -> None:
    part.put_foreign(body)
    with app.connection_for_read() as connection, connection.channel() as channel:
        assert channel.basic_get(str(Queue.ENRICH)) is None
        assert (broker.depth(Queue.ENRICH), broker.depth(Queue.DEAD_LETTER)) == (0, 1)
        # Nor can they in the second queue, which keeps those apart for people.
        assert channel.basic_get(str(Queue.DEAD_LETTER)) is None
    assert (broker.depth(Queue.ENRICH), broker.depth(Queue.DEAD_LETTER)) == (0, 0)


def test_a_message_is_settled_over_a_new_connection_once_the_old_one_has_gone(
    part: ServiceBusPart, app: Celery, broker: ServiceBus
) -> None:
    notify(app, [1])
    with app.connection_for_read() as connection, connection.channel() as channel:
        message = channel.basic_get(str(Queue.ENRICH))
        part.stop()
        assert channel.basic_get(str(Queue.ENRICH)) is None
        part.start()
        message.ack()
    assert broker.depth(Queue.ENRICH) == 0


def test_a_worker_enriches_what_it_is_notified_of_and_dead_letters_what_is_not_ours(
    part: ServiceBusPart,
    app: Celery,
    broker: ServiceBus,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Worker(part.url, monkeypatch) as worker:
        worker.says(r"\bready\.")
        part.put_foreign(b"\x00\xffnot ours")
        worker.says("is no notification and becomes a dead letter")
        part.put_foreign(json.dumps(_ENVELOPE).encode())
        worker.says("unknown message")
        batches = load(store, 0)
        began = time.monotonic()
        notify(app, batches)
        worker.says(rf"{_EVENTS} events in")
        assert time.monotonic() - began < 5
        assert worker.stop() < _STOP_SECONDS
    assert (broker.depth(Queue.ENRICH), broker.depth(Queue.DEAD_LETTER)) == (0, 2)
    assert "Traceback" not in "".join(worker.said)


def test_a_worker_outlasts_the_broker(
    part: ServiceBusPart, app: Celery, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    part.stop()
    with Worker(part.url, monkeypatch) as worker:
        worker.says("Azure Service Bus does not answer .* waiting")
        part.start()
        worker.says(r"\bready\.")
        for hour in range(2):
            notify(app, load(store, hour))
            worker.says(rf"{_EVENTS} events in")
            part.stop()
            worker.says("Service Bus does not answer")
            part.start()
            worker.says("Service Bus answers again")
        part.stop()
        worker.says("Service Bus does not answer")
        assert worker.stop() < _STOP_SECONDS
    assert "Traceback" not in "".join(worker.said)
