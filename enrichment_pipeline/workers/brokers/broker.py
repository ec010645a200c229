"""The interface of a broker: settings for Celery, making the queues, and their depth."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from enrichment_pipeline.wording import UserError
from enrichment_pipeline.workers.queues import Queue


class BrokerError(UserError):
    """The broker cannot be used; one line that says why and what to do, without its password."""


class Broker(ABC):
    """A broker at a URL, which is the setting BROKER_URL."""

    name: ClassVar[str]
    """The broker's name for people."""

    def __init__(self, url: str) -> None:
        """Read the URL.

        Raises:
            BrokerError: the URL cannot be read. It is not connected to yet.
        """
        self.url = url

    @abstractmethod
    def celery_settings(self) -> Mapping[str, object]:
        """Settings of Celery for this broker: `broker_url`, `broker_transport_options` and others.
        Those of `app` hold for all."""

    def queue_arguments(self, queue: Queue) -> Mapping[str, object] | None:
        """Arguments that kombu declares the queue with; None where the broker knows none."""
        return None

    @abstractmethod
    def declare(self) -> None:
        """Make both queues, with a limit on deliveries and forwarding from the first to the second,
        where the broker has these. May be called again, and by several processes at once.

        Raises:
            Exception: of the broker's client, where the broker does not respond.
        """

    @abstractmethod
    def depth(self, queue: Queue) -> int | None:
        """Messages that wait in the queue; None where the broker does not report it.

        Raises:
            Exception: as for `declare`.
        """
