"""Google Pub/Sub: two topics, each with the subscription of one queue.

Pulling, acknowledging and publishing by kombu belongs to `pubsub_transport`.
"""

import re
from collections.abc import Mapping
from typing import Any

from google.api_core.exceptions import AlreadyExists
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.types import (
    DeadLetterPolicy,
    ExpirationPolicy,
    FieldMask,
    Subscription,
    UpdateSubscriptionRequest,
)

from enrichment_pipeline.workers.brokers.broker import Broker, BrokerError
from enrichment_pipeline.workers.queues import EXCHANGE, LOCK_SECONDS, MOST_DELIVERIES, Queue

CALL_SECONDS = 5.0
"""How long one call may take."""

PULL_SECONDS = 5.0
"""How long a pull waits for a message; it returns as soon as one comes."""

# After this time a worker without a free process checks for one again. With kombu's tenth of a
# second, two workers handled fewer messages than one API sends, and these piled up.
_BUSY_SECONDS = 0.01

TOPICS = {Queue.ENRICH: EXCHANGE, Queue.DEAD_LETTER: str(Queue.DEAD_LETTER)}
"""The topic of each queue. Dead letters have their own topic: a forwarded message keeps its
attributes, and with them the routing key of its first queue."""

_URL = re.compile(r"gcpubsub://projects/([a-z][a-z0-9.:-]*)/?")

_TRANSPORT = "enrichment_pipeline.workers.brokers.pubsub_transport:Transport"

# The attributes of a subscription that can be changed, and that we decide.
_CHANGEABLE = ("ack_deadline_seconds", "expiration_policy", "dead_letter_policy")


class PubSub(Broker):
    """`gcpubsub://projects/PROJECT`; credentials are found as Google's clients do ("Application
    Default Credentials"), and PUBSUB_EMULATOR_HOST names an emulator.

    Publishers and workers need the role Pub/Sub Editor, which makes topics and subscriptions.
    Pub/Sub forwards dead letters itself: its service agent
    `service-PROJECT_NUMBER@gcp-sa-pubsub.iam.gserviceaccount.com` needs the role Pub/Sub Publisher
    on the topic `enrichment-dead-letter` and Pub/Sub Subscriber on the subscription
    `enrichment-enrich`; without them, a message that is delivered too often comes on and on.
    Source: Google's guide "Dead-letter topics".
    """

    name = "Google Pub/Sub"

    def __init__(self, url: str) -> None:
        """See Broker."""
        super().__init__(url)
        match = _URL.fullmatch(url)
        if not match:
            raise BrokerError(
                "BROKER_URL for Google Pub/Sub must look like gcpubsub://projects/PROJECT, "
                "with the id of a project"
            )
        self.project = match[1]

    def celery_settings(self) -> Mapping[str, object]:
        """See Broker."""
        return {
            "broker_url": self.url,
            "broker_transport": _TRANSPORT,
            "broker_connection_timeout": CALL_SECONDS,
            "broker_transport_options": {
                "queue_name_prefix": "",
                "ack_deadline_seconds": LOCK_SECONDS,
                "wait_time_seconds": PULL_SECONDS,
                "polling_interval": _BUSY_SECONDS,
            },
        }

    def declare(self) -> None:
        """See Broker; existing subscriptions get these settings. The second queue has no limit on
        deliveries."""
        with PublisherClient() as publisher, SubscriberClient() as subscriber:
            for queue in reversed(Queue):
                _make_topic(publisher, self.topic(queue))
                _make_subscription(subscriber, self._described(queue))

    def depth(self, queue: Queue) -> int | None:
        """See Broker: Pub/Sub does not report it. The number is a metric of Cloud Monitoring,
        minutes old, for which an emulator has no API and a worker would need one more role."""
        return None

    def topic(self, queue: Queue) -> str:
        """The full name of the topic that the queue's messages are published to."""
        return f"projects/{self.project}/topics/{TOPICS[queue]}"

    def subscription(self, queue: Queue) -> str:
        """The full name of the subscription that is the queue."""
        return f"projects/{self.project}/subscriptions/{queue}"

    def _described(self, queue: Queue) -> Any:
        described = Subscription(
            name=self.subscription(queue),
            topic=self.topic(queue),
            ack_deadline_seconds=LOCK_SECONDS,
            # A policy without a time: the subscription never expires.
            expiration_policy=ExpirationPolicy(),
        )
        if queue is Queue.ENRICH:
            described.filter = f'attributes.routing_key="{queue}"'
            described.dead_letter_policy = DeadLetterPolicy(
                dead_letter_topic=self.topic(Queue.DEAD_LETTER),
                max_delivery_attempts=MOST_DELIVERIES,
            )
        return described


def _make_topic(publisher: Any, name: str) -> None:
    try:
        publisher.create_topic(name=name, retry=None, timeout=CALL_SECONDS)
    except AlreadyExists:
        return


def _make_subscription(subscriber: Any, described: Any) -> None:
    try:
        subscriber.create_subscription(described, retry=None, timeout=CALL_SECONDS)
    except AlreadyExists:
        subscriber.update_subscription(
            UpdateSubscriptionRequest(
                subscription=described, update_mask=FieldMask(paths=_CHANGEABLE)
            ),
            retry=None,
            timeout=CALL_SECONDS,
        )
