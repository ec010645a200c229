"""RabbitMQ: quorum queues with a delivery limit, which sends messages on to the second queue."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from kombu import Connection, Exchange
from kombu import Queue as KombuQueue

from enrichment_pipeline.workers.brokers.broker import Broker, BrokerError
from enrichment_pipeline.workers.queues import EXCHANGE, MOST_DELIVERIES, Queue

_TIMEOUT_SECONDS = 5
_HEARTBEAT_SECONDS = 30


class RabbitMQ(Broker):
    """`amqp://user:password@host:5672/vhost`, or `amqps://`."""

    name = "RabbitMQ"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        try:
            parts = urlsplit(url)
            is_whole = bool(parts.hostname) and parts.port != 0
        except ValueError:
            # The error is not quoted: it holds the password, taken for a port.
            is_whole = False
        if not is_whole or parts.fragment:
            raise BrokerError(
                "BROKER_URL for RabbitMQ must look like amqp://user:password@host:5672/vhost, all "
                "but letters and digits of the password written as %XX"
            )

    def celery_settings(self) -> Mapping[str, object]:
        """See Broker. Publishes are confirmed: otherwise only the next publish would notice that
        the broker has gone."""
        return {
            "broker_url": self.url,
            "broker_heartbeat": _HEARTBEAT_SECONDS,
            "broker_connection_timeout": _TIMEOUT_SECONDS,
            "broker_transport_options": {"confirm_publish": True},
        }

    def queue_arguments(self, queue: Queue) -> Mapping[str, object]:
        """See Broker; source: RabbitMQ's guide on quorum queues, "Poison Message Handling"."""
        arguments: dict[str, object] = {
            "x-queue-type": "quorum",
            "x-delivery-limit": MOST_DELIVERIES,
        }
        if queue is Queue.ENRICH:
            arguments["x-dead-letter-exchange"] = EXCHANGE
            arguments["x-dead-letter-routing-key"] = str(Queue.DEAD_LETTER)
        return arguments

    def declare(self) -> None:
        """See Broker."""
        with self._connection() as connection, connection.channel() as channel:
            for queue in Queue:
                KombuQueue(
                    str(queue),
                    Exchange(EXCHANGE, type="direct"),
                    routing_key=str(queue),
                    queue_arguments=dict(self.queue_arguments(queue)),
                    channel=channel,
                ).declare()

    def depth(self, queue: Queue) -> int | None:
        """See Broker; messages that a worker has not yet acknowledged are not counted."""
        with self._connection() as connection, connection.channel() as channel:
            return int(channel.queue_declare(str(queue), passive=True).message_count)

    def _connection(self) -> Connection:
        return Connection(self.url, connect_timeout=_TIMEOUT_SECONDS)
