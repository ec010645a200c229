"""Kafka: two topics, and a group of workers for each.

A log is no queue. The design tolerates the differences, since no event depends on a message:

- An acknowledgement is the offset up to which everything is handled. After a worker's death, a lost
  connection, or a change in the group, messages come twice.
- A busy worker holds up the messages in its partitions. The worker that handles any message takes
  all that is due.
- There is no dead-letter queue and no limit on deliveries. This module counts only messages that
  kill a process of a worker which itself goes on, and sends them to the second topic; what follows
  the death of a whole worker is counted in our store alone.

Kombu's transport is changed where it would stop or hold up a worker or a publisher; each change
says why. What messages mean does not belong here.
"""

import base64
import logging
import re
import threading
from collections.abc import Mapping
from queue import Empty
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from kombu.transport import TRANSPORT_ALIASES, confluentkafka
from kombu.utils.json import dumps, loads

from enrichment_pipeline.workers.brokers.broker import Broker, BrokerError
from enrichment_pipeline.workers.queues import LOCK_SECONDS, MOST_DELIVERIES, Queue

PARTITIONS = 8
"""Partitions of each topic that we make, and so the most workers that share it; an existing topic
keeps its own number."""

SESSION_SECONDS = 6
"""How long a worker may give no sign of life before its partitions go to others; the shortest that
Kafka allows by default."""

POLL_SECONDS = 1.0
"""How long a poll waits for a message; a worker that is asked to stop waits for the poll."""

_PAUSE_SECONDS = 0.05
_TIMEOUT_SECONDS = 5.0
_BROKERS_DEFAULT = -1
_PORT = 9092
_DELIVERIES = "deliveries"

_FORM = "kafka://host:9092, or kafka://USER:PASSWORD@host:9092 for SASL over TLS"
_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?")

logger = logging.getLogger(__name__)


class Kafka(Broker):
    """`kafka://host:9092`, or several hosts with commas between them. With `USER:PASSWORD@` SASL
    over TLS, `?sasl_mechanism=SCRAM-SHA-512` for another mechanism than PLAIN; in user and
    password, all but letters and digits is written as %XX.

    The depth is what the group has not acknowledged, including messages that workers have claimed.
    """

    name = "Kafka"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._config = _client_config(url)

    def celery_settings(self) -> Mapping[str, object]:
        """See Broker. User and password are in the options, so that no log shows them."""
        return {
            "broker_url": f"kafka://{self._config['bootstrap.servers'].split(',')[0]}",
            "broker_transport_options": {
                "kafka_common_config": self._config,
                "kafka_consumer_config": {
                    "session.timeout.ms": SESSION_SECONDS * 1000,
                    "heartbeat.interval.ms": SESSION_SECONDS * 1000 // 3,
                    # A busy worker does not poll.
                    "max.poll.interval.ms": LOCK_SECONDS * 1000,
                },
                "kafka_producer_config": {"message.timeout.ms": int(_TIMEOUT_SECONDS * 1000)},
                "polling_interval": _PAUSE_SECONDS,
            },
        }

    def declare(self) -> None:
        """See Broker. Existing topics stay as they are."""
        _declare(_connected(self._config))

    def depth(self, queue: Queue) -> int | None:
        """See Broker."""
        consumer = Consumer({**self._config, "group.id": _group(str(queue))})
        try:
            return _lag(consumer, str(queue))
        finally:
            consumer.close()


class LogMessage(confluentkafka.Message):  # type: ignore[misc]
    """A message, and its place in the log."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:
        super().__init__(payload, channel=channel, **kwargs)
        self.partition: int = payload["partition"]
        self.offset: int = payload["offset"]
        self.value: bytes = payload["value"]
        self.deliveries: int = payload["deliveries"]


class QoS(confluentkafka.QoS):  # type: ignore[misc]
    """The messages that are claimed. Celery's thread of results acknowledges them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = threading.Lock()
        self._ends: dict[int, int] = {}

    def append(self, message: LogMessage, delivery_tag: str) -> None:
        with self._lock:
            super().append(message, delivery_tag)
            self._ends[message.partition] = message.offset + 1

    def ack(self, delivery_tag: str) -> None:
        # Kombu's acknowledges all that was received: messages that other processes have claimed
        # would be lost with these processes.
        with self._lock:
            message = self._not_yet_acked.pop(delivery_tag, None)
            if message is None:
                return
            under_way = [
                other.offset
                for other in self._not_yet_acked.values()
                if other.partition == message.partition
            ]
            end = min(under_way, default=self._ends[message.partition])
        self.channel.commit(message.topic, message.partition, end)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        # Kombu's goes back to the last acknowledged offset of every partition: an error where there
        # is none yet, and otherwise messages that others have claimed come again without end.
        self.channel.send_on(self._not_yet_acked[delivery_tag], requeue)
        self.ack(delivery_tag)


class Channel(confluentkafka.Channel):  # type: ignore[misc]
    """Kombu's channel; kombu calls the overridden methods."""

    QoS = QoS
    Message = LogMessage

    _kafka_consumers: dict[str, Consumer]
    _failure: KafkaError | None = None

    @property
    def common_config(self) -> dict[str, object]:
        # Kombu's knows one host, and needs user and password in the URL.
        return dict(self.options["kafka_common_config"])

    def _open(self) -> AdminClient:
        # Kombu waits for the connection as long as for a message.
        return _connected(self.common_config)

    def _get_consumer(self, queue: str) -> Consumer:
        # Kafka's client waits for an unreachable broker itself, and logs that twenty times a
        # second; for every other broker, Celery waits.
        self.options["kafka_consumer_config"]["error_cb"] = self._note_failure
        return super()._get_consumer(queue)

    def _note_failure(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._failure = error

    def _new_queue(self, queue: str, **_: object) -> None:
        # Kombu's waits for ever while the broker is away, but not for the topics that it made.
        _declare(self._client)

    def _put(self, queue: str, message: Any, **_: object) -> None:
        self._produce(queue, dumps(message).encode())

    def _produce(self, topic: str, value: bytes, deliveries: int = 1) -> None:
        # Kombu's waits without end, and does not check the delivery.
        failures: list[KafkaError] = []

        def on_delivery(error: KafkaError | None, _: object) -> None:
            if error:
                failures.append(error)

        producer = self._get_producer(topic)
        producer.produce(
            topic,
            value,
            headers={_DELIVERIES: str(deliveries)},
            on_delivery=on_delivery,
        )
        if producer.flush(_TIMEOUT_SECONDS + 1):
            raise KafkaException(f"not confirmed in {_TIMEOUT_SECONDS} s")
        if failures:
            raise KafkaException(failures[0])

    def _get(self, queue: str, **_: object) -> dict[str, Any]:
        # Kombu's logs an error and goes on: nobody would notice a topic that is gone.
        received = self._get_consumer(queue).poll(POLL_SECONDS)
        failure = received.error() if received else self._failure
        if failure:
            raise KafkaException(failure)
        if received is None:
            raise Empty
        place = {
            "topic": received.topic(),
            "partition": received.partition(),
            "offset": received.offset(),
            "value": received.value() or b"",
            "deliveries": _deliveries(received.headers()),
        }
        return self._readable(place)

    def _readable(self, place: dict[str, Any]) -> dict[str, Any]:
        # A message that is not ours raises here or in Celery, and would end the worker. As bare
        # bytes, Celery logs and rejects it.
        tag = f"{place['partition']}-{place['offset']}"
        try:
            payload: dict[str, Any] = {**loads(place["value"]), **place}
            payload["properties"]["delivery_tag"] = tag
            parsed = LogMessage(payload, channel=self)
            is_ours = {"id", "task"} <= parsed.headers.keys() and parsed.body is not None
        except Exception:  # noqa: BLE001  anything can be in a message of somebody else
            is_ours = False
        return payload if is_ours else _foreign(place, tag)

    def close(self) -> None:
        # Kombu's waits until the broker is back, if an acknowledgement was on its way: a worker
        # would neither log its retries nor end. The thread leaves the group once it can.
        consumers, self._kafka_consumers = self._kafka_consumers, {}
        super().close()
        for consumer in consumers.values():
            closing = threading.Thread(target=consumer.close, daemon=True)
            closing.start()
            closing.join(SESSION_SECONDS)

    def commit(self, topic: str, partition: int, end: int) -> None:
        """Let the group go on from this offset; if that fails, messages come twice."""
        # A closed channel would join the group again.
        consumer = self._kafka_consumers.get(topic)
        if consumer is None:
            return
        try:
            consumer.commit(offsets=[TopicPartition(topic, partition, end)])
        except (KafkaException, RuntimeError) as error:
            logger.warning("the acknowledgement of a message failed, it comes again: %s", error)

    def send_on(self, message: LogMessage, requeue: bool) -> None:
        """Put a rejected message at the end of its topic, or into the second topic."""
        is_again = requeue and message.deliveries < MOST_DELIVERIES
        if not is_again and message.topic == Queue.DEAD_LETTER:
            logger.warning("a message that nobody could answer is dropped: %.200r", message.value)
            return
        topic = message.topic if is_again else str(Queue.DEAD_LETTER)
        try:
            self._produce(topic, message.value, message.deliveries + 1 if is_again else 1)
        except KafkaException as error:
            logger.warning("a message is lost, the sensor finds what is due: %s", error)


class Transport(confluentkafka.Transport):  # type: ignore[misc]
    """Kombu's transport, which connects again after every error of Kafka's client."""

    Channel = Channel

    # Kombu's list has none of the client's errors: each would end the worker.
    connection_errors = (*confluentkafka.Transport.connection_errors, KafkaException)
    recoverable_connection_errors = connection_errors


TRANSPORT_ALIASES["kafka"] = f"{__name__}:Transport"


def _client_config(url: str) -> dict[str, str]:
    """The configuration of librdkafka; source: its CONFIGURATION.md."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise BrokerError(f"BROKER_URL for Kafka must look like {_FORM}") from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    names = hosts.split(",")
    if parts.path not in ("", "/") or parts.fragment or not all(map(_HOST.fullmatch, names)):
        raise BrokerError(
            f"BROKER_URL must look like {_FORM}; a / or # in the password is written as %2F or %23"
        )
    if login and not (user and password):
        raise BrokerError(f"BROKER_URL names one of user and password; it must look like {_FORM}")
    if set(query) - ({"sasl_mechanism"} if login else set()):
        raise BrokerError(
            f"BROKER_URL has an option that is not known; it must look like {_FORM}, "
            "there with ?sasl_mechanism=SCRAM-SHA-512 at most"
        )
    servers = [name if re.search(r":\d+$", name) else f"{name}:{_PORT}" for name in names]
    # Errors are raised, and logged where they are caught.
    config = {"bootstrap.servers": ",".join(servers), "log_level": "2"}
    if login:
        config |= {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": query.get("sasl_mechanism", "PLAIN"),
            "sasl.username": unquote(user),
            "sasl.password": unquote(password),
        }
    return config


def _group(topic: str) -> str:
    """The group of the topic's workers, as kombu names it."""
    return f"{topic}-consumer-group"


def _connected(config: Mapping[str, object]) -> AdminClient:
    # An exception of Kafka's client does not have the reason, its callback does.
    reasons: list[KafkaError] = []
    client = AdminClient({**config, "error_cb": reasons.append})
    try:
        client.list_topics(timeout=_TIMEOUT_SECONDS)
    except KafkaException as error:
        client.poll(0)
        raise KafkaException(reasons[0] if reasons else error.args[0]) from None
    return client


def _declare(client: AdminClient) -> None:
    topics = [NewTopic(str(queue), PARTITIONS, _BROKERS_DEFAULT) for queue in Queue]
    made = client.create_topics(
        topics, operation_timeout=_TIMEOUT_SECONDS, request_timeout=_TIMEOUT_SECONDS
    )
    for future in made.values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _lag(consumer: Consumer, topic: str) -> int:
    known = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic]
    if known.error:
        raise KafkaException(known.error)
    partitions = [TopicPartition(topic, number) for number in known.partitions]
    lag = 0
    for committed in consumer.committed(partitions, timeout=_TIMEOUT_SECONDS):
        place = TopicPartition(topic, committed.partition)
        first, end = consumer.get_watermark_offsets(place, timeout=_TIMEOUT_SECONDS)
        # Nothing was acknowledged yet, where the offset is below zero; messages that are too old
        # are gone.
        lag += max(end - max(committed.offset, first), 0)
    return lag


def _deliveries(headers: list[tuple[str, bytes]] | None) -> int:
    count = dict(headers or []).get(_DELIVERIES, b"")
    return int(count) if count and count.isdigit() else 1


def _foreign(place: dict[str, Any], tag: str) -> dict[str, Any]:
    """A message that is not ours, in a form that Celery can read."""
    return {
        **place,
        "body": base64.b64encode(place["value"]).decode(),
        "content-encoding": "binary",
        "properties": {"body_encoding": "base64", "delivery_tag": tag, "delivery_info": {}},
    }
