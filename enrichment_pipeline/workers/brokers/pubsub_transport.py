"""kombu's transport for Google Pub/Sub, changed where it would break what `queues` promises.

Each method says what kombu's own does. Topics and subscriptions belong to `pubsub`.
"""

import logging
import time
from collections.abc import Callable
from functools import cached_property
from queue import Empty
from typing import Any

from google.api_core.exceptions import (
    DeadlineExceeded,
    GoogleAPIError,
    RetryError,
    ServerError,
    TooManyRequests,
)
from google.api_core.retry import Retry
from google.auth.exceptions import TransportError
from google.pubsub_v1 import PublisherClient
from kombu.transport import gcpubsub
from kombu.utils.json import dumps, loads

from enrichment_pipeline.workers.brokers.pubsub import CALL_SECONDS, PubSub
from enrichment_pipeline.workers.queues import Queue

_SETTLE_SECONDS = 10.0
"""How long acknowledging a message is tried; an unacknowledged message comes again."""

_AWAY_SECONDS = 1.0
"""Wait between two pulls while the broker does not respond."""

logger = logging.getLogger(__name__)


class Channel(gcpubsub.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel on the topics and subscriptions that `PubSub.declare` makes."""

    _is_away = False

    @cached_property
    def publisher(self) -> Any:
        """The generated client, whose `publish` returns once the broker has the message. kombu's
        client collects messages in a thread, and does not report what became of them."""
        return PublisherClient()

    def _queue_bind(self, exchange: str, routing_key: str, pattern: object, queue: str) -> None:
        # kombu's makes the subscription, or changes ours: on one topic for both queues, with a
        # filter that no dead letter passes, and to expire after a day.
        broker = PubSub(self.conninfo.hostname)
        self._queue_cache[queue] = gcpubsub.QueueDescriptor(
            name=queue,
            topic_path=broker.topic(Queue(queue)),
            subscription_id=queue,
            subscription_path=broker.subscription(Queue(queue)),
        )

    def _put(self, queue: str, message: Any, **_: object) -> None:
        # kombu's does not wait for the response: a refused message would be no error.
        topic = self._queue_cache[queue].topic_path
        data = dumps(message).encode()
        attributes = {"routing_key": self._get_routing_key(message)}
        try:
            self.publisher.publish(
                topic=topic,
                messages=[{"data": data, "attributes": attributes}],
                retry=None,
                timeout=CALL_SECONDS,
            )
        except ServerError:
            self._close_client("publisher")
            raise

    def _get_bulk(self, queue: str, timeout: float) -> tuple[str, list[Any]]:
        # kombu's waits for ten seconds whatever the settings say, and tries for five minutes where
        # the broker is away, with no word about it; and it raises for a message that is no JSON,
        # which then is delivered again and again.
        most = self._get_max_messages_estimate()
        if not most:
            raise Empty
        described = self._queue_cache[queue]
        messages = self._pulled(described.subscription_path, most)
        if queue not in self._active_queues:
            # This worker is stopping: another one gets the messages at once.
            self._give_back(described.subscription_path, [one.ack_id for one in messages])
            raise Empty
        payloads = [self._payload(described, message) for message in messages]
        return queue, [payload for payload in payloads if payload]

    def _pulled(self, subscription: str, most: int) -> Any:
        try:
            response = self.subscriber.pull(
                subscription=subscription,
                max_messages=most,
                retry=None,
                timeout=self.wait_time_seconds,
            )
        except DeadlineExceeded:
            raise Empty from None
        except GoogleAPIError as error:
            if self.closed:
                raise Empty from error
            # A new client connects at once. The old one waits longer each time, up to two minutes;
            # it is not closed, since another thread may be acknowledging with it.
            self.__dict__.pop("subscriber", None)
            if not self._is_away:
                logger.warning("Pub/Sub does not answer (%s); trying until it does …", error)
            self._is_away = True
            time.sleep(_AWAY_SECONDS)
            raise Empty from error
        if self._is_away:
            logger.warning("Pub/Sub answers again; going on")
        self._is_away = False
        return response.received_messages

    def _payload(self, described: Any, message: Any) -> Any:
        """The payload for Celery; None for a message that is not ours, which is discarded: neither
        queue could handle it."""
        try:
            payload = loads(message.message.data)
            payload["properties"]["delivery_tag"] = self._next_delivery_tag()
            payload["properties"]["delivery_info"]["gcpubsub_message"] = {
                "queue": described.name,
                "ack_id": message.ack_id,
                "message_id": message.message.message_id,
                "subscription_path": described.subscription_path,
            }
            # If this raised in the thread that delivers, the worker would end.
            self.Message(payload, channel=self)
        except Exception:  # noqa: BLE001  of whatever bytes somebody may have sent
            logger.warning("a message that is no notification is thrown away: %.80r", message)
            self._acknowledge(described.subscription_path, [message.ack_id])
            return None
        described.unacked_ids.append(message.ack_id)
        return payload

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge a message. kombu's raises where the broker is away; Celery then counts the
        message as claimed for ever, and takes no other in its place."""
        self._settle(delivery_tag, self._acknowledge)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Discard a message, or give it back, which counts as a delivery. kombu's does not inform
        the broker: it keeps the message as long as the worker lives, and to give one back it
        publishes a copy, whose deliveries are counted anew."""
        self._settle(delivery_tag, self._give_back if requeue else self._acknowledge)

    def close(self) -> None:
        """Close the channel. kombu's leaves the clients open: a pull would hold up the end of the
        process, and a new connection would wait as long as the old ones do between attempts."""
        super().close()
        self._close_client("publisher")
        self._close_client("subscriber")

    def _close_client(self, name: str) -> None:
        client = self.__dict__.pop(name, None)
        if client:
            client.transport.close()

    def _settle(self, delivery_tag: str, answer: Callable[[str, list[str]], None]) -> None:
        message = self.qos.get(delivery_tag).delivery_info["gcpubsub_message"]
        answer(message["subscription_path"], [message["ack_id"]])
        self._queue_cache[message["queue"]].unacked_ids.remove(message["ack_id"])
        self.qos.ack(delivery_tag)

    def _acknowledge(self, subscription: str, ack_ids: list[str]) -> None:
        self._answer(self.subscriber.acknowledge, subscription, ack_ids)

    def _give_back(self, subscription: str, ack_ids: list[str]) -> None:
        if ack_ids:
            request = self.subscriber.modify_ack_deadline
            self._answer(request, subscription, ack_ids, ack_deadline_seconds=0)

    def _answer(
        self, call: Callable[..., None], subscription: str, ack_ids: list[str], **more: int
    ) -> None:
        try:
            call(
                request={"subscription": subscription, "ack_ids": ack_ids, **more},
                retry=Retry(initial=0.2, maximum=1.0, timeout=_SETTLE_SECONDS),
                timeout=CALL_SECONDS,
            )
        except GoogleAPIError as error:
            logger.warning("a message could not be acknowledged and will come again: %s", error)


class Transport(gcpubsub.Transport):  # type: ignore[misc]  # kombu has no types
    """Connects at once, and knows the errors of an unreachable broker."""

    Channel = Channel

    # kombu's list has none of the errors that the clients raise for an unreachable broker.
    connection_errors = (
        *gcpubsub.Transport.connection_errors,
        ServerError,
        TooManyRequests,
        RetryError,
        TransportError,
    )

    def establish_connection(self) -> Any:
        """Make both queues. kombu's makes no call, so that an unreachable broker is noticed only
        where Celery does not wait for it."""
        PubSub(self.client.hostname).declare()
        return super().establish_connection()
