"""From BROKER_URL to the broker; only that broker's client is imported."""

import importlib
from typing import NamedTuple

from enrichment_pipeline.workers.brokers.broker import Broker, BrokerError


class _Place(NamedTuple):
    module: str
    name: str
    extra: str | None


_BROKERS = {
    "amqp": _Place("rabbitmq", "RabbitMQ", None),
    "amqps": _Place("rabbitmq", "RabbitMQ", None),
    "azureservicebus": _Place("service_bus", "ServiceBus", "servicebus"),
    "sqs": _Place("sqs", "SQS", "sqs"),
    "gcpubsub": _Place("pubsub", "PubSub", "pubsub"),
    "kafka": _Place("kafka", "Kafka", "kafka"),
}


def broker_at(url: str) -> Broker:
    """The broker that the URL names.

    Raises:
        BrokerError: none is known by that scheme, its client is not installed, or the URL is wrong.
    """
    scheme = url.partition("://")[0].lower()
    place = _BROKERS.get(scheme)
    if place is None:
        known = ", ".join(f"{name}://" for name in _BROKERS)
        raise BrokerError(f"BROKER_URL begins with {scheme or 'nothing'}://; known are {known}")
    try:
        module = importlib.import_module(f"enrichment_pipeline.workers.brokers.{place.module}")
    except ImportError as error:
        raise BrokerError(
            f"BROKER_URL names a broker whose client is not installed ({error.name}): "
            f"pip install 'enrichment-pipeline[{place.extra}]'"
        ) from error
    broker: Broker = getattr(module, place.name)(url)
    return broker
