"""kombu's transport for Azure Service Bus, changed where it would break what `queues` promises.

Each method says what kombu's own does. The queues belong to `service_bus`.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import cached_property
from queue import Empty
from typing import Any

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusReceiver
from kombu.transport import azureservicebus
from kombu.utils.json import loads

from enrichment_pipeline.store.database.errors import first_line
from enrichment_pipeline.workers.brokers.service_bus import ServiceBus

_AWAY_SECONDS = 1.0
"""Wait between two receives while the broker does not respond."""

_UNREADABLE = "NotANotification"

logger = logging.getLogger(__name__)


class Channel(azureservicebus.Channel):  # type: ignore[misc]  # kombu has no types
    """A channel on the queues that `ServiceBus.declare` makes.

    Locks are not renewed (kombu's `use_lock_renewal`): no worker keeps a message as long as a lock
    lasts, and if one did, the message would come twice, which does no harm.
    """

    _is_away = False

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        # Messages are received in one thread and acknowledged in another; the client's guide says
        # that a receiver is not thread-safe.
        self._using = threading.Lock()

    def _try_parse_connection_string(self) -> None:
        """Nothing: kombu's knows no emulator, and `ServiceBus` reads the URL."""

    @cached_property
    def queue_service(self) -> Any:
        """The client that sends and receives."""
        return ServiceBus(self.conninfo.hostname).client(retry_total=self.retry_total)

    def _new_queue(self, queue: str, **_: object) -> None:
        """Nothing: kombu's makes a queue that forwards no dead letters; the transport has made
        ours."""

    def _size(self, queue: str) -> int:
        """Zero, since nothing needs it; kombu's calls the administration at every declaration."""
        return 0

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        # kombu's logs a traceback for each receive while the broker is away. For a message that is
        # no JSON it raises, which ends this worker, then the next, and so on.
        try:
            with self._using:
                messages = self._receiver(queue).receive_messages(
                    max_message_count=1, max_wait_time=timeout or self.wait_time_seconds
                )
        except Exception as error:  # noqa: BLE001  of the client, which has private ones
            self._wait(queue, error)
            raise Empty from None
        if self._is_away:
            logger.warning("Service Bus answers again; going on")
            self._is_away = False
        if not messages:
            raise Empty
        return self._payload(queue, messages[0])

    def _payload(self, queue: str, message: Any) -> Any:
        try:
            payload = loads(b"".join(message.body))
            payload["properties"]["delivery_info"]["azure_message"] = message
            payload["properties"]["delivery_info"]["azure_queue_name"] = queue
            # If this raised later, the worker would end.
            self.Message(payload, channel=self)
        except Exception:  # noqa: BLE001  of whatever bytes somebody may have sent
            # Logged by its number: the client raises when it shows a message that is no text.
            number = message.sequence_number
            logger.warning("message %s is no notification and becomes a dead letter", number)
            self._settle(queue, message, _dead_letter)
            raise Empty from None
        return payload

    def _wait(self, queue: str, error: Exception) -> None:
        if not self._is_away:
            logger.warning(
                "Service Bus does not answer (%s); trying until it does …", first_line(error)
            )
        self._is_away = True
        with self._using:
            self._close_cached_receiver(queue, azureservicebus.ServiceBusReceiveMode.PEEK_LOCK)
        time.sleep(_AWAY_SECONDS)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Acknowledge a message."""
        self._finish(delivery_tag, ServiceBusReceiver.complete_message)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Dead-letter a message, or give it back, which counts as a delivery. kombu's does not
        inform the broker: the message stays locked and comes again, and to give one back it also
        sends a copy, whose deliveries are counted anew."""
        self._finish(delivery_tag, ServiceBusReceiver.abandon_message if requeue else _dead_letter)

    def _finish(self, delivery_tag: str, settle: Callable[[Any, Any], None]) -> None:
        info = self.qos.get(delivery_tag).delivery_info
        self._settle(info["azure_queue_name"], info["azure_message"], settle)
        self.qos.ack(delivery_tag)

    def _settle(self, queue: str, message: Any, settle: Callable[[Any, Any], None]) -> None:
        try:
            with self._using:
                settle(self._receiver(queue), message)
        except Exception as error:  # noqa: BLE001  as in _get
            logger.warning("a message was not settled and will come again: %s", first_line(error))

    def _receiver(self, queue: str) -> Any:
        # Opened before it receives: otherwise it would connect within the time that it waits for a
        # message, which is too short for a distant server.
        return self._get_asb_receiver(queue).receiver.__enter__()


class Transport(azureservicebus.Transport):  # type: ignore[misc]  # kombu has no types
    """Connects at once, and knows the errors of an unreachable broker."""

    Channel = Channel

    # kombu's list has none of the client's errors: each would end a worker.
    connection_errors = (*azureservicebus.Transport.connection_errors, AzureError)

    def establish_connection(self) -> Any:
        """Make both queues. kombu's makes no call, so that an unreachable broker is noticed only
        where Celery does not wait for it."""
        ServiceBus(self.client.hostname).declare()
        return super().establish_connection()

    @classmethod
    def as_uri(cls, uri: str, include_password: bool = False, mask: str = "**") -> str:
        """The URL for people. kombu's takes the emulator for a namespace."""
        return uri if include_password else f"azureservicebus://{mask}@{uri.rsplit('@', 1)[-1]}"


def _dead_letter(receiver: Any, message: Any) -> None:
    receiver.dead_letter_message(message, reason=_UNREADABLE)
