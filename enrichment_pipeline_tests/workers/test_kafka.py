"""What is special to Kafka: its URL, offsets in place of acknowledgements, a mended transport."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from time import monotonic

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from kombu import Message
from kombu import Queue as KombuQueue
from kombu.exceptions import OperationalError

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.broker import BrokerError
from enrichment_pipeline.workers.brokers.choosing import broker_at
from enrichment_pipeline.workers.brokers.kafka import PARTITIONS, Kafka
from enrichment_pipeline.workers.notifying import notify
from enrichment_pipeline.workers.queues import MOST_DELIVERIES, Queue
from enrichment_pipeline_tests.workers.parts.kafka import KafkaPart
from enrichment_pipeline_tests.workers.running import (
    OTHER_TASK,
    UNREADABLE,
    WITHOUT_BODY,
    a_worker,
    enriched,
    loaded,
    notified,
)

SECONDS = 40
STOP_SECONDS = 15
OTHER_PARTITION = 3


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaPart]:
    """A broker that this process and those it starts reach."""
    with KafkaPart(tmp_path) as running:
        monkeypatch.setenv("BROKER_URL", running.url)
        yield running


@pytest.fixture
def broker(part: KafkaPart) -> Kafka:
    """Our side of it, its topics declared."""
    made = Kafka(part.url)
    made.declare()
    return made


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka://host:port",
        "kafka://host:9092/topic",
        "kafka://host:9092,",
        "kafka://user@host:9092",
        "kafka://user:hidden/@host:9092",
        "kafka://user:hidden#@host:9092",
        "kafka://user:hidden@host:9092?acks=1",
        "kafka://host:9092?sasl_mechanism=PLAIN",
    ],
)
def test_a_wrong_url_is_refused_with_one_line_that_shows_a_right_one_and_no_password(
    url: str,
) -> None:
    with pytest.raises(BrokerError, match=r"must look like kafka://host:9092") as refusal:
        broker_at(url)
    assert "\n" not in str(refusal.value)
    assert "hidden" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("kafka://host", "host:9092"),
        ("kafka://host:1", "host:1"),
        ("kafka://one:1,two", "one:1,two:9092"),
        ("kafka://[::1]:1", "[::1]:1"),
    ],
)
def test_a_url_without_a_user_is_reached_in_the_open(url: str, servers: str) -> None:
    config = common_config(Kafka(url))
    assert config["bootstrap.servers"] == servers
    assert "security.protocol" not in config


def test_a_user_and_a_password_mean_sasl_over_tls_and_are_in_no_url_that_is_logged() -> None:
    broker = Kafka("kafka://me:a%2Fb@host:1?sasl_mechanism=SCRAM-SHA-512")
    config = common_config(broker)
    assert (config["sasl.username"], config["sasl.password"]) == ("me", "a/b")
    assert (config["security.protocol"], config["sasl.mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert broker.celery_settings()["broker_url"] == "kafka://host:1"
    assert common_config(Kafka("kafka://me:x@host:1"))["sasl.mechanism"] == "PLAIN"


def common_config(broker: Kafka) -> dict[str, str]:
    """What all of Kafka's clients are given."""
    options = broker.celery_settings()["broker_transport_options"]
    assert isinstance(options, dict)
    config: dict[str, str] = options["kafka_common_config"]
    return config


def test_declaring_makes_two_topics_that_workers_can_share_and_may_be_repeated(
    part: KafkaPart, broker: Kafka
) -> None:
    broker.declare()
    topics = AdminClient(common_config(broker)).list_topics(timeout=SECONDS).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        str(queue): PARTITIONS for queue in Queue
    }


def test_declaring_says_why_the_broker_does_not_answer(part: KafkaPart) -> None:
    part.stop()
    with pytest.raises(KafkaException, match="Connection refused"):
        Kafka(part.url).declare()


@contextmanager
def kombu_queues(broker: Kafka) -> Iterator[dict[Queue, KombuQueue]]:
    """The queues as a worker has them."""
    app = celery_app(broker)
    with app.connection_for_read() as connection, connection.channel() as channel:
        yield {queue: app.amqp.queues[str(queue)].bind(channel) for queue in Queue}


def received(queue: KombuQueue) -> Message:
    """The next message, once the group has come together."""
    deadline = monotonic() + SECONDS
    while (message := queue.get()) is None:
        assert monotonic() < deadline
    return message


def put(broker: Kafka, partition: int, *bodies: bytes) -> None:
    """Put messages into one partition of the notifications."""
    producer = Producer(common_config(broker))
    for body in bodies:
        producer.produce(str(Queue.ENRICH), body, partition=partition)
        assert not producer.flush(SECONDS)


def test_what_is_not_acknowledged_comes_again_and_the_depth_counts_it(broker: Kafka) -> None:
    put(broker, 0, b"one", b"two")
    put(broker, OTHER_PARTITION, b"three")
    with kombu_queues(broker) as queues:
        first, second, third = sorted(
            (received(queues[Queue.ENRICH]) for _ in range(3)),
            key=lambda message: [b"one", b"two", b"three"].index(message.body),
        )
        second.ack()
        third.ack()
    assert broker.depth(Queue.ENRICH) == 2
    with kombu_queues(broker) as queues:
        again = [received(queues[Queue.ENRICH]) for _ in range(2)]
        assert [message.body for message in again] == [first.body, second.body]
        for message in again:
            message.ack()
    assert broker.depth(Queue.ENRICH) == 0


def test_an_acknowledgement_after_the_connection_was_lost_does_nothing(broker: Kafka) -> None:
    put(broker, 0, b"one")
    with kombu_queues(broker) as queues:
        message = received(queues[Queue.ENRICH])
    message.ack()
    assert broker.depth(Queue.ENRICH) == 1


def test_a_message_that_is_given_back_too_often_comes_to_the_second_queue(broker: Kafka) -> None:
    notify(celery_app(broker), [7])
    with kombu_queues(broker) as queues:
        for _ in range(MOST_DELIVERIES):
            received(queues[Queue.ENRICH]).reject(requeue=True)
        assert received(queues[Queue.DEAD_LETTER]).payload[0] == [[7]]
    assert broker.depth(Queue.ENRICH) == 0


def test_a_message_that_the_broker_does_not_take_is_an_error(
    part: KafkaPart, broker: Kafka
) -> None:
    app = celery_app(broker)
    notify(app, [1])
    part.stop()
    with pytest.raises(OperationalError):
        notify(app, [2])


def test_a_notification_is_handled_and_sigterm_ends_the_worker(
    store: Store, broker: Kafka, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(STOP_SECONDS) == 0
    assert broker.depth(Queue.ENRICH) == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00\xff", b"{}", b'{"properties": 5}', UNREADABLE, WITHOUT_BODY, OTHER_TASK],
    ids=["empty", "bytes", "nothing", "no envelope", "unreadable", "without body", "other task"],
)
def test_a_message_that_is_not_ours_goes_away_and_the_next_notification_is_handled(
    body: bytes, part: KafkaPart, store: Store, broker: Kafka, tmp_path: Path
) -> None:
    part.put_foreign(body)
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        worker.await_that(is_empty(broker, Queue.ENRICH))
        assert worker.says("unknown message") or worker.says("unregistered task")
    assert broker.depth(Queue.DEAD_LETTER) == 1
    with a_worker(tmp_path, "dead_letter") as worker:
        worker.await_that(is_empty(broker, Queue.DEAD_LETTER))


def is_empty(broker: Kafka, queue: Queue) -> Callable[[], bool]:
    """Whether all is acknowledged."""
    return lambda: broker.depth(queue) == 0


def test_a_process_that_is_killed_while_it_waits_leaves_its_message_to_the_next_one(
    store: Store, broker: Kafka, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        child = worker.child()
        child.suspend()
        notify(celery_app(broker), loaded(store))
        child.kill()
        worker.await_that(lambda: enriched(store) == 1)
        worker.await_that(is_empty(broker, Queue.ENRICH))


def test_what_a_worker_was_handling_when_it_was_killed_comes_to_another(
    store: Store, broker: Kafka, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        worker.child().suspend()
        notify(celery_app(broker), loaded(store))
        worker.kill()
    with a_worker(tmp_path) as other:
        other.await_that(lambda: enriched(store) == 2)


def test_a_worker_goes_on_when_the_broker_was_away_and_has_lost_all(
    part: KafkaPart, store: Store, broker: Kafka, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        part.stop()
        worker.await_that(lambda: worker.says("Trying again"))
        assert worker.says("Connection refused")
        part.start()
        broker.declare()
        worker.await_that(notified(store, broker, 2))


def test_a_connection_is_closed_while_an_acknowledgement_waits_for_the_broker(
    part: KafkaPart, broker: Kafka
) -> None:
    put(broker, 0, b"one")
    # What would end the wait.
    back = Timer(STOP_SECONDS, part.start)
    with kombu_queues(broker) as queues:
        received(queues[Queue.ENRICH]).ack()
        part.stop()
        back.start()
    assert back.is_alive()
    back.cancel()


def test_sigterm_ends_a_worker_that_waits_for_the_broker(
    part: KafkaPart, broker: Kafka, database: str, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        part.stop()
        worker.await_that(lambda: worker.says("Trying again"))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(STOP_SECONDS) == 0


def test_two_workers_share_the_notifications(store: Store, broker: Kafka, tmp_path: Path) -> None:
    with a_worker(tmp_path) as one, a_worker(tmp_path) as other:
        for number in range(1, 2 * PARTITIONS):
            one.await_that(notified(store, broker, number))
        one.await_that(is_empty(broker, Queue.ENRICH))
        one.kill()
        for number in range(2 * PARTITIONS, 3 * PARTITIONS):
            other.await_that(notified(store, broker, number))
