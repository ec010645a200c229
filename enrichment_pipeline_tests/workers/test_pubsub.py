"""What is special to Google Pub/Sub: the way of dead letters, and a transport that is mended."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from google.pubsub_v1 import SubscriberClient
from kombu import Queue as KombuQueue
from kombu.exceptions import OperationalError
from sqlalchemy import text

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.broker import BrokerError
from enrichment_pipeline.workers.brokers.choosing import broker_at
from enrichment_pipeline.workers.brokers.pubsub import PubSub
from enrichment_pipeline.workers.notifying import notify
from enrichment_pipeline.workers.queues import LOCK_SECONDS, MOST_DELIVERIES, Queue
from enrichment_pipeline_tests.workers import running
from enrichment_pipeline_tests.workers.parts.pubsub import PubSubPart
from enrichment_pipeline_tests.workers.running import READY, Worker, enriched, loaded, notified

SECONDS = 40

a_worker = partial(running.a_worker, seconds=SECONDS)

ENVELOPE = {
    "headers": {},
    "content-type": "application/json",
    "content-encoding": "utf-8",
    "properties": {
        "body_encoding": "base64",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": ""},
    },
}
UNREADABLE = json.dumps({**ENVELOPE, "body": "x"}).encode()
NO_TASK = json.dumps({**ENVELOPE, "body": "e30="}).encode()


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSubPart]:
    """A Pub/Sub that this process and those it starts reach."""
    with PubSubPart(tmp_path) as running:
        monkeypatch.setenv("BROKER_URL", running.url)
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def broker(part: PubSubPart) -> PubSub:
    """Our side of it, its queues declared."""
    made = PubSub(part.url)
    made.declare()
    return made


@pytest.mark.parametrize(
    "url", ["gcpubsub://", "gcpubsub://project", "gcpubsub://projects/", "gcpubsub://projects/A/b"]
)
def test_a_url_without_a_project_is_refused_with_one_line_that_shows_a_right_one(url: str) -> None:
    with pytest.raises(BrokerError, match=r"gcpubsub://projects/PROJECT[^\n]*$"):
        broker_at(url)


def test_declaring_makes_two_subscriptions_that_never_expire_and_the_way_of_dead_letters(
    broker: PubSub,
) -> None:
    broker.declare()
    notifications, dead_letters = (described(broker, queue) for queue in Queue)
    assert notifications.dead_letter_policy.dead_letter_topic == dead_letters.topic
    assert notifications.dead_letter_policy.max_delivery_attempts == MOST_DELIVERIES
    assert notifications.topic != dead_letters.topic
    assert notifications.filter == f'attributes.routing_key="{Queue.ENRICH}"'
    assert (dead_letters.filter, "dead_letter_policy" in dead_letters) == ("", False)
    for subscription in (notifications, dead_letters):
        assert subscription.ack_deadline_seconds == LOCK_SECONDS
        assert "expiration_policy" in subscription
        assert "ttl" not in subscription.expiration_policy


def described(broker: PubSub, queue: Queue) -> object:
    """The subscription as the broker has it."""
    with SubscriberClient() as subscriber:
        return subscriber.get_subscription(subscription=broker.subscription(queue))


def test_kombu_leaves_the_subscriptions_as_they_are(broker: PubSub) -> None:
    before = [described(broker, queue) for queue in Queue]
    with kombu_queues(broker) as queues:
        for queue in queues.values():
            queue.declare()
    assert [described(broker, queue) for queue in Queue] == before


def test_a_message_that_is_given_back_too_often_comes_to_the_second_queue(broker: PubSub) -> None:
    notify(celery_app(broker), [7])
    with kombu_queues(broker) as queues:
        for _ in range(MOST_DELIVERIES):
            queues[Queue.ENRICH].get().reject(requeue=True)
        assert queues[Queue.DEAD_LETTER].get().payload[0] == [[7]]


@contextmanager
def kombu_queues(broker: PubSub) -> Iterator[dict[Queue, KombuQueue]]:
    """The queues as a worker has them."""
    app = celery_app(broker)
    with app.connection_for_read() as connection, connection.channel() as channel:
        bound = {queue: app.amqp.queues[str(queue)].bind(channel) for queue in Queue}
        for queue in bound.values():
            queue.declare()
        yield bound


def test_a_message_that_the_broker_does_not_take_is_an_error(
    part: PubSubPart, broker: PubSub
) -> None:
    app = celery_app(broker)
    notify(app, [1])
    part.stop()
    with pytest.raises(OperationalError):
        notify(app, [2])


def test_a_notification_is_handled_and_sigterm_ends_the_worker(
    store: Store, broker: PubSub, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(15) == 0


def test_messages_that_are_not_ours_go_away_and_the_next_notification_is_handled(
    part: PubSubPart, store: Store, broker: PubSub, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        for body in (b"\x00\xff", b"{}", b'{"properties": {}}', UNREADABLE, NO_TASK):
            part.put_foreign(body)
        worker.await_that(notified(store, broker, 1))
        assert worker.says("is no notification")
        worker.process.terminate()
        worker.process.wait(15)
    with kombu_queues(broker) as queues:
        assert [queue.get() for queue in queues.values()] == [None, None]


def test_a_worker_goes_on_when_the_broker_was_away(
    part: PubSubPart, store: Store, broker: PubSub, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        part.stop()
        worker.await_that(lambda: worker.says("Pub/Sub does not answer"))
        part.start()
        worker.await_that(notified(store, broker, 2))
        assert worker.says("Pub/Sub answers again")


def test_a_worker_waits_for_a_broker_that_is_away_when_it_starts(
    part: PubSubPart, store: Store, broker: PubSub, tmp_path: Path
) -> None:
    part.stop()
    worker = Worker(tmp_path, seconds=SECONDS)
    try:
        worker.await_that(lambda: worker.says("does not answer"))
        part.start()
        worker.await_that(lambda: worker.says(READY))
        worker.await_that(notified(store, broker, 1))
    finally:
        worker.kill()


def test_a_message_whose_process_was_killed_is_given_to_another(
    store: Store, broker: PubSub, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        batches = loaded(store)
        with store.transaction() as connection:
            connection.execute(text("LOCK TABLE raw_batch IN EXCLUSIVE MODE"))
            notify(celery_app(broker), batches)
            worker.await_that(lambda: waits_for_a_lock(store))
            worker.child().kill()
        worker.await_that(lambda: enriched(store) == 1)
        assert worker.says("WorkerLostError")


def waits_for_a_lock(store: Store) -> bool:
    """Whether a process waits for a table."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with store.engine.connect() as connection:
        return bool(connection.execute(waiting).scalar_one())
