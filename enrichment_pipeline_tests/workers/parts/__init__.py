"""The brokers that the tests run against: each a process of its own that is started and killed."""

from enrichment_pipeline_tests.workers.parts.kafka import KafkaPart
from enrichment_pipeline_tests.workers.parts.part import Part
from enrichment_pipeline_tests.workers.parts.pubsub import PubSubPart
from enrichment_pipeline_tests.workers.parts.rabbitmq import RabbitMQPart
from enrichment_pipeline_tests.workers.parts.service_bus import ServiceBusPart
from enrichment_pipeline_tests.workers.parts.sqs import SQSPart

PARTS: tuple[type[Part], ...] = (RabbitMQPart, SQSPart, KafkaPart, PubSubPart, ServiceBusPart)
"""One for each broker that there is."""
