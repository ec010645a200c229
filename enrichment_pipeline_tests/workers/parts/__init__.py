"""The brokers that the tests run against: each a process of its own that is started and killed."""

from enrichment_pipeline_tests.workers.parts.part import Part
from enrichment_pipeline_tests.workers.parts.rabbitmq import RabbitMQPart

PARTS: tuple[type[Part], ...] = (RabbitMQPart,)
"""One for each broker that there is."""
