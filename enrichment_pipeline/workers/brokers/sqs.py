"""AWS SQS: a visibility timeout, and a redrive policy that sends messages on to the second queue.

Kombu's transport is changed where it would stop a worker or hold up messages; each change says why.
What messages mean does not belong here.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from botocore.exceptions import ClientError
from kombu import Connection
from kombu.transport import SQS as KOMBU
from kombu.transport import TRANSPORT_ALIASES

from enrichment_pipeline.workers.brokers.broker import Broker, BrokerError
from enrichment_pipeline.workers.queues import LOCK_SECONDS, MOST_DELIVERIES, Queue

WAIT_SECONDS = 1
"""How long SQS waits before it responds that there is no message. A worker that is asked to stop
waits for that response; AWS charges for each request."""

_PAUSE_SECONDS = 0.05
_CLIENT = {
    "connect_timeout": 5,
    "read_timeout": WAIT_SECONDS + 8,
    # The worker itself waits for an unreachable broker, and logs it.
    "retries": {"mode": "standard", "total_max_attempts": 2},
}

_FORM = "sqs://KEY:SECRET@, or sqs:// with the credentials that AWS' own tools find"

logger = logging.getLogger(__name__)


class SQS(Broker):
    """`sqs://KEY:SECRET@` with all but letters and digits written as %XX, or `sqs://`: credentials
    from the environment, a profile or a role. `?region=eu-central-1`, or else AWS_DEFAULT_REGION,
    the profile's, or us-east-1. With a host and port, as in `sqs://KEY:SECRET@127.0.0.1:5000`, a
    stand-in over plain http.

    The depth is approximate, and does not count messages that workers have claimed.
    """

    name = "SQS"

    def __init__(self, url: str) -> None:
        super().__init__(url)
        parts = _parts(url)
        self._place = f"sqs://{parts.netloc}"
        self._region = _query(parts).get("region")

    def celery_settings(self) -> Mapping[str, object]:
        """See Broker."""
        return {"broker_url": self._place, "broker_transport_options": self._options()}

    def declare(self) -> None:
        """See Broker. Existing queues keep their other attributes."""
        with self._connection() as connection, connection.channel() as channel:
            _declare(channel.sqs())

    def depth(self, queue: Queue) -> int | None:
        """See Broker."""
        with self._connection() as connection, connection.channel() as channel:
            return int(channel._size(str(queue)))

    def _connection(self) -> Connection:
        return Connection(self._place, transport_options=self._options())

    def _options(self) -> dict[str, object]:
        return {
            "region": self._region,
            "wait_time_seconds": WAIT_SECONDS,
            "polling_interval": _PAUSE_SECONDS,
            "client-config": _CLIENT,
        }


class Channel(KOMBU.Channel):  # type: ignore[misc]
    """Kombu's channel; kombu calls the overridden methods."""

    # Kombu's channel, when it closes, as on a lost connection, would release claimed messages to
    # others, and forget how to acknowledge them. Neither happens here: an acknowledgement needs no
    # channel, and a message that is never acknowledged is released after LOCK_SECONDS.
    do_restore = False

    def _update_queue_cache(self, queue_name_prefix: str) -> None:
        # Kombu's lists all queues, and makes missing ones without a dead-letter queue.
        client = self.sqs()
        try:
            urls = {str(queue): _url(client, queue) for queue in Queue}
        except client.exceptions.QueueDoesNotExist:
            urls = _declare(client)
        self._queue_cache.update(urls)

    def _message_to_python(self, message: Any, queue_name: str, q_url: str) -> Any:
        # A message that is not ours raises here or in Celery, and would end the worker. As bare
        # text, Celery logs and rejects it.
        try:
            payload = super()._message_to_python(message, queue_name, q_url)
            parsed = self.Message(payload, channel=self)
            is_ours = {"id", "task"} <= parsed.headers.keys() and parsed.body is not None
        except Exception:  # noqa: BLE001  anything can be in a message of somebody else
            is_ours = False
        return payload if is_ours else self._envelope_payload({}, message["Body"], message, q_url)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        # Kombu's hides a message that has killed a process for as long as a poll, and leaves an
        # unreadable message to come again and again, five minutes apart.
        delivery = self.qos.get(delivery_tag).delivery_info
        self.qos.ack(delivery_tag)
        place = {
            "QueueUrl": delivery["sqs_queue"],
            "ReceiptHandle": delivery["sqs_message"]["ReceiptHandle"],
        }
        is_last = place["QueueUrl"] == self._queue_cache[str(Queue.DEAD_LETTER)]
        try:
            if requeue and not is_last:
                self.sqs().change_message_visibility(**place, VisibilityTimeout=0)
            elif not requeue:
                if not is_last:
                    self._put_dead_letter(delivery["sqs_message"]["Body"])
                self.sqs().delete_message(**place)
            # The second queue counts no deliveries: a killer there comes again after LOCK_SECONDS.
        except self.connection_errors as error:
            logger.warning("a rejected message comes again after %d s: %s", LOCK_SECONDS, error)

    connection_errors = (*KOMBU.Transport.connection_errors, ClientError)

    def _put_dead_letter(self, body: str | bytes) -> None:
        text = body if isinstance(body, str) else body.decode(errors="replace")
        url = self._queue_cache[str(Queue.DEAD_LETTER)]
        self.sqs().send_message(QueueUrl=url, MessageBody=text)


class Transport(KOMBU.Transport):  # type: ignore[misc]
    """Kombu's transport, which makes one request after the other."""

    Channel = Channel

    # Kombu requests messages in Celery's event loop, where the first error, such as an unreachable
    # broker or a throttled request, silently ends all requests. With boto3 in Celery's other loop,
    # an error is raised, and Celery connects again.
    implements = KOMBU.Transport.implements.extend(asynchronous=False)

    # AWS' own refusals are no connection errors to kombu, and would end the worker.
    connection_errors = Channel.connection_errors


TRANSPORT_ALIASES["sqs"] = f"{__name__}:Transport"


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        has_port = parts.port is not None
    except ValueError:
        raise BrokerError(
            f"BROKER_URL must look like {_FORM}; a / or + in the secret is written as %2F or %2B"
        ) from None
    if (parts.username is None) != (not parts.password):
        raise BrokerError(f"BROKER_URL names one of key and secret; it must look like {_FORM}")
    if parts.hostname and not has_port:
        raise BrokerError(
            f"BROKER_URL names a host without a port; for AWS it must look like {_FORM}"
        )
    if parts.path not in ("", "/") or parts.fragment or set(_query(parts)) - {"region"}:
        raise BrokerError(
            f"BROKER_URL must look like {_FORM}, and ?region=eu-central-1 at most; "
            "a / in the secret is written as %2F"
        )
    return parts


def _query(parts: SplitResult) -> dict[str, str]:
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def _url(client: Any, queue: Queue) -> str:
    return str(client.get_queue_url(QueueName=str(queue))["QueueUrl"])


def _declare(client: Any) -> dict[str, str]:
    """Both queues' URLs; source: Amazon SQS API Reference, CreateQueue and SetQueueAttributes."""
    last = _made(client, Queue.DEAD_LETTER, {})
    answer = client.get_queue_attributes(QueueUrl=last, AttributeNames=["QueueArn"])
    redrive = {
        "deadLetterTargetArn": answer["Attributes"]["QueueArn"],
        "maxReceiveCount": MOST_DELIVERIES,
    }
    first = _made(client, Queue.ENRICH, {"RedrivePolicy": json.dumps(redrive)})
    return {str(Queue.ENRICH): first, str(Queue.DEAD_LETTER): last}


def _made(client: Any, queue: Queue, attributes: Mapping[str, str]) -> str:
    # Made without attributes: CreateQueue refuses an existing queue that has others.
    try:
        url = _url(client, queue)
    except client.exceptions.QueueDoesNotExist:
        url = str(client.create_queue(QueueName=str(queue))["QueueUrl"])
    client.set_queue_attributes(
        QueueUrl=url, Attributes={"VisibilityTimeout": str(LOCK_SECONDS), **attributes}
    )
    return url
