"""Azure Service Bus: two queues, the first of which forwards its dead letters to the second.

Receiving, acknowledging and sending by kombu belongs to `service_bus_transport`.
"""

import logging
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from azure.core.exceptions import (
    ClientAuthenticationError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential
from azure.servicebus import ServiceBusClient
from azure.servicebus.management import ServiceBusAdministrationClient

from enrichment_pipeline.store.database.errors import first_line
from enrichment_pipeline.workers.brokers.broker import Broker, BrokerError
from enrichment_pipeline.workers.queues import LOCK_SECONDS, MOST_DELIVERIES, Queue

CALL_SECONDS = 5.0
"""How long one call may take: to connect, to send, to manage."""

RECEIVE_SECONDS = 1.0
"""How long a receive waits for a message; a worker that is asked to stop waits for its last
receive. Whatever this is, a message is handled as soon as it comes."""

_BUSY_SECONDS = 0.01
"""Wait until a worker without a free process checks for one again."""

_LONGEST_LOCK_SECONDS = 300
"""Source: Microsoft's "Service Bus quotas and limits", lock duration."""

_TRANSPORT = "enrichment_pipeline.workers.brokers.service_bus_transport:Transport"

_IDENTITIES = {
    "DefaultAzureCredential": DefaultAzureCredential,
    "ManagedIdentityCredential": ManagedIdentityCredential,
}

# A key is base64, which may hold slashes: no parser of URLs finds the end of the host.
_URL = re.compile(
    r"azureservicebus://"
    rf"(?:(?P<identity>{'|'.join(_IDENTITIES)})|(?P<policy>[^:@/]+):(?P<key>[^@;]+))"
    r"@(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>\d+)\?emulator=(?P<emulator>\d+))?"
)

logger = logging.getLogger(__name__)


class ServiceBus(Broker):
    """`azureservicebus://POLICY:KEY@NAMESPACE`, where NAMESPACE is `name` or
    `name.servicebus.windows.net`, and POLICY with KEY may be `DefaultAzureCredential` or
    `ManagedIdentityCredential`.

    A policy with the claim Manage (for an identity: the role Azure Service Bus Data Owner) makes
    the queues; with Send and Listen alone, they have to be there: `enrichment-dead-letter`, and
    `enrichment-enrich`, which forwards dead letters to it.

    Microsoft's emulator is `azureservicebus://POLICY:KEY@localhost:5672?emulator=5300`, with the
    ports of AMQP and of the administration. Nothing to it is encrypted.
    """

    name = "Azure Service Bus"

    def __init__(self, url: str) -> None:
        """See Broker."""
        super().__init__(url)
        self.namespace = _read(url)

    def celery_settings(self) -> Mapping[str, object]:
        """See Broker. We retry, and not the client, which sleeps between tries and cannot be
        stopped meanwhile."""
        return {
            "broker_url": self.url,
            "broker_transport": _TRANSPORT,
            "broker_transport_options": {
                "wait_time_seconds": RECEIVE_SECONDS,
                "polling_interval": _BUSY_SECONDS,
                "retry_total": 0,
            },
        }

    def declare(self) -> None:
        """See Broker; an existing queue stays as it is. Lacking the right to make queues is no
        error where the queues exist."""
        try:
            with self._administration() as client:
                for queue in reversed(Queue):
                    _make(client, queue)
        except ClientAuthenticationError as error:
            logger.warning("the queues have to be there, we may make none: %s", first_line(error))

    def depth(self, queue: Queue) -> int | None:
        """See Broker; messages that a worker has not yet acknowledged are counted."""
        with self._administration() as client:
            return int(client.get_queue_runtime_properties(str(queue)).active_message_count)

    def client(self, **options: object) -> Any:
        """A client that sends and receives; the options are those of ServiceBusClient."""
        return self.namespace.reached(
            ServiceBusClient, self.namespace.host, try_timeout=CALL_SECONDS, **options
        )

    def _administration(self) -> Any:
        return self.namespace.reached(
            ServiceBusAdministrationClient,
            self.namespace.administration_host,
            retry_total=0,
            connection_timeout=CALL_SECONDS,
            read_timeout=CALL_SECONDS,
            **({"transport": _Plain()} if self.namespace.is_emulated else {}),
        )


class _Namespace(NamedTuple):
    """The parts of the URL."""

    host: str
    administration_host: str
    identity: str | None
    policy: str
    key: str

    @property
    def is_emulated(self) -> bool:
        return self.host != self.administration_host

    def reached(self, kind: Any, host: str, **options: object) -> Any:
        """A client of this kind at the host."""
        if self.identity:
            return kind(host, _IDENTITIES[self.identity](), **options)
        connection = (
            f"Endpoint=sb://{host};SharedAccessKeyName={self.policy};SharedAccessKey={self.key}"
        )
        if self.is_emulated:
            # Switches TLS off for AMQP; source: azure-servicebus, `_base_handler._parse_conn_str`.
            connection += ";UseDevelopmentEmulator=true"
        return kind.from_connection_string(connection, **options)


def _read(url: str) -> _Namespace:
    match = _URL.fullmatch(url)
    if not match:
        raise BrokerError(
            "BROKER_URL for Azure Service Bus must look like "
            "azureservicebus://POLICY:KEY@NAMESPACE or "
            "azureservicebus://DefaultAzureCredential@NAMESPACE"
        )
    host = match["host"]
    credential = (match["identity"], match["policy"] or "", match["key"] or "")
    if match["emulator"]:
        return _Namespace(f"{host}:{match['port']}", f"{host}:{match['emulator']}", *credential)
    if "." not in host:
        host += ".servicebus.windows.net"
    return _Namespace(host, host, *credential)


def _make(client: Any, queue: Queue) -> None:
    """Make the queue, if it does not exist. It checks first: a refusal to make an existing queue
    counts as an error in Azure's metrics."""
    forward = {}
    if queue is Queue.ENRICH:
        forward["forward_dead_lettered_messages_to"] = str(Queue.DEAD_LETTER)
    try:
        client.get_queue(str(queue))
    except ResourceNotFoundError:
        try:
            client.create_queue(
                str(queue),
                lock_duration=timedelta(seconds=min(LOCK_SECONDS, _LONGEST_LOCK_SECONDS)),
                max_delivery_count=MOST_DELIVERIES,
                **forward,
            )
        except ResourceExistsError:
            return


class _Plain(RequestsTransport):  # type: ignore[misc]  # azure.core has no types here
    """HTTP without TLS, for the emulator: the client always uses https."""

    def send(self, request: Any, **options: object) -> Any:
        """Send the request."""
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **options)
