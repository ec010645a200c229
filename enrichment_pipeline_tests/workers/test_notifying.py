"""Notifications: what is published, and what becomes of them while the broker is away."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.workers import notifying
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.choosing import broker_at
from enrichment_pipeline.workers.brokers.rabbitmq import RabbitMQ
from enrichment_pipeline.workers.notifying import MOST_BATCHES, BrokerNotifier, notify
from enrichment_pipeline.workers.queues import NOTIFICATION, Queue
from enrichment_pipeline_tests.conftest import free_port

_SECONDS = 30


@pytest.fixture
def url() -> str:
    """A broker in this process: kombu's own, for tests."""
    return "memory://"


@pytest.fixture
def app(url: str) -> Iterator[Celery]:
    broker = broker_at("amqp://unused")
    app = celery_app(broker)
    app.conf.update(broker_url=url, broker_transport_options={}, task_queues=app.conf.task_queues)
    yield app
    with app.connection_for_read() as connection:
        connection.default_channel.queue_purge(str(Queue.ENRICH))


class NoBroker(RabbitMQ):
    """Kombu's transport in memory is no broker of ours: nobody asks it anything."""

    def __init__(self) -> None:
        super().__init__("amqp://unused")

    def depth(self, queue: Queue) -> int | None:
        return 7 if queue is Queue.ENRICH else None


def a_notifier(url: str) -> BrokerNotifier:
    broker = broker_at(url)
    return BrokerNotifier(celery_app(broker), broker)


def received(app: Celery, count: int) -> list[list[int]]:
    """The next messages, as the workers get them."""
    found: list[list[int]] = []
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(app.amqp.queues[str(Queue.ENRICH)])
        while len(found) < count:
            message = queue.get(timeout=_SECONDS)
            assert message.headers["task"] == NOTIFICATION
            found.append(json.loads(message.body)[0][0])
            message.ack()
    return found


class Counted(Counter[str]):
    """What became of the notifications; can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, outcome: str, batches: int) -> None:
        with self._changed:
            self[outcome] += batches
            self._changed.notify_all()

    def await_count(self, is_there: Callable[["Counted"], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: is_there(self), _SECONDS), dict(self)


def test_a_message_holds_the_ids_and_is_some_hundred_bytes(app: Celery) -> None:
    notify(app, [7, 8])
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue(app.amqp.queues[str(Queue.ENRICH)])
        message = queue.get(timeout=_SECONDS)
        assert len(message.body) + len(json.dumps(message.headers)) < 1_000
        message.ack()


@given(groups=st.lists(st.lists(st.integers(1, 2**62), max_size=150), min_size=1, max_size=8))
@pytest.mark.slow
def test_every_batch_is_notified_of_once_in_messages_of_bounded_size(
    groups: list[list[int]],
) -> None:
    app = celery_app(broker_at("amqp://unused"))
    app.conf.update(broker_url="memory://", broker_transport_options={})
    with app.connection_for_read() as connection:
        connection.SimpleQueue(app.amqp.queues[str(Queue.ENRICH)]).clear()
    notifier = BrokerNotifier(app, NoBroker())
    counted = notifier.count = Counted()
    notifier.start()
    for group in groups:
        notifier.notify(group)
    notifier.close()
    sent = [batch for group in groups for batch in group]
    found: list[int] = []
    while len(found) < len(sent):
        [batches] = received(app, 1)
        assert 0 < len(batches) <= MOST_BATCHES
        found += batches
    assert found == sent
    assert counted["published"] == len(sent)


@pytest.mark.slow
def test_while_the_broker_is_away_notifications_are_left_and_nobody_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifying, "MOST_WAITING", 5)
    notifier = a_notifier(f"amqp://127.0.0.1:{free_port()}")
    counted = notifier.count = Counted()
    began = time.monotonic()
    notifier.notify(range(12))
    assert time.monotonic() - began < 1
    assert counted["left"] == 7
    notifier.start()
    counted.await_count(lambda so_far: so_far["left"] == 12)
    notifier.close()
    assert counted["published"] == 0


def test_a_broker_that_is_back_is_notified_again(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([ConnectionError("away"), ConnectionError("away")])
    real = app.send_task

    def send(*arguments: object, **options: object) -> object:
        if error := next(answers, None):
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(app, "send_task", send)
    monkeypatch.setattr(notifying, "FIRST_WAIT_SECONDS", 0.01)
    notifier = BrokerNotifier(app, NoBroker())
    counted = notifier.count = Counted()
    notifier.start()
    for number in range(3):
        notifier.notify([number])
        counted.await_count(lambda so_far, done=number + 1: so_far.total() == done)  # type: ignore[misc]
    notifier.close()
    assert (counted["left"], counted["published"]) == (2, 1)
    assert received(app, 1) == [[2]]


def test_a_notifier_that_is_closed_publishes_what_it_had_been_given(app: Celery) -> None:
    notifier = BrokerNotifier(app, NoBroker())
    notifier.notify([1, 2, 3])
    notifier.start()
    notifier.close()
    assert received(app, 1) == [[1, 2, 3]]


def test_how_many_messages_wait_is_known_where_the_broker_knows(app: Celery) -> None:
    measured: dict[str, int | None] = {}
    counted = threading.Event()

    def measure(queue: str, messages: int | None) -> None:
        measured[queue] = messages
        if len(measured) == len(Queue):
            counted.set()

    notifier = BrokerNotifier(app, NoBroker())
    notifier.measure = measure
    notifier.start()
    assert counted.wait(_SECONDS)
    notifier.close()
    assert measured == {Queue.ENRICH: 7, Queue.DEAD_LETTER: None}
