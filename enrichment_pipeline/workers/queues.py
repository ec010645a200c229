"""The names that publishers, workers and brokers share, and what a queue promises.

Keeping the promise belongs to each broker's module in `brokers`.
"""

from enum import StrEnum


class Queue(StrEnum):
    """The queues, by their names on the broker: letters and hyphens, which all five allow."""

    ENRICH = "enrichment-enrich"
    """Notifications: a batch is due."""
    DEAD_LETTER = "enrichment-dead-letter"
    """Messages that were delivered too often, or that no worker could read."""


EXCHANGE = "enrichment"
"""The exchange that is published to; for Pub/Sub it is the topic."""

NOTIFICATION = "enrichment_pipeline.ring"
"""The task of a notification, as all versions call it. Its one argument: ids of batches, of type
`list[int]`."""

MOST_DELIVERIES = 5
"""The most deliveries of one message; after that it goes to the queue for dead letters: workers
are killed again and again, or no worker can read it."""

LOCK_SECONDS = 300
"""How long a broker waits for the acknowledgement of a message before it gives it to another
worker. Longer than a worker keeps a message, including an outage of the store."""
