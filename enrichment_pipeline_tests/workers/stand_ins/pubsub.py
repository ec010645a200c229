"""Google Pub/Sub's published gRPC services, as far as our broker and its clients call them.

Made from the generated messages of Google's client; stricter than the real one where a test should
notice. Not here: push, ordering, exactly-once, streaming pull, permissions, expiry.

    python -m enrichment_pipeline_tests.workers.stand_ins.pubsub PORT [FILE]
"""

import base64
import itertools
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

_FILTER = re.compile(r'attributes\.(\w+)="([^"]*)"')
_CHANGEABLE = {"ack_deadline_seconds", "expiration_policy", "dead_letter_policy"}
_CHECK_SECONDS = 0.1
_PULLS_AT_ONCE = 64


@dataclass
class _Message:
    """A message of one subscription."""

    message: Any
    attempts: int = 0
    due: float = 0.0
    ack_id: str = ""


@dataclass
class _Subscription:
    described: Any
    messages: list[_Message] = field(default_factory=list)

    def wants(self, message: Any) -> bool:
        match = _FILTER.fullmatch(self.described.filter)
        return match is None or message.attributes.get(match[1]) == match[2]

    def deadline(self) -> float:
        return time.time() + (self.described.ack_deadline_seconds or 10)


class _RefusedError(Exception):
    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class PubSub:
    """All topics and subscriptions; a method for each call of the services."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._changed = threading.Condition()
        self._topics: dict[str, Any] = {}
        self._subscriptions: dict[str, _Subscription] = {}
        if file and file.exists():
            self._load(json.loads(file.read_text()))

    def create_topic(self, topic: Any, _: object) -> Any:
        _new(self._topics, topic.name)
        self._topics[topic.name] = topic
        return topic

    def publish(self, request: Any, _: object) -> Any:
        self._known_topic(request.topic)
        messages = [types.PubsubMessage(message) for message in request.messages]
        for message in messages:
            message.message_id = str(uuid.uuid4().int % 10**16)
            self._put(request.topic, message)
        return types.PublishResponse(message_ids=[message.message_id for message in messages])

    def create_subscription(self, subscription: Any, _: object) -> Any:
        _new(self._subscriptions, subscription.name)
        self._check(subscription)
        self._subscriptions[subscription.name] = _Subscription(subscription)
        return subscription

    def get_subscription(self, request: Any, _: object) -> Any:
        return _known(self._subscriptions, request.subscription).described

    def update_subscription(self, request: Any, _: object) -> Any:
        known = _known(self._subscriptions, request.subscription.name)
        described = types.Subscription(known.described)
        for path in request.update_mask.paths:
            if path not in _CHANGEABLE:
                raise _RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"{path} cannot be changed")
        request.update_mask.MergeMessage(
            types.Subscription.pb(request.subscription), types.Subscription.pb(described), True
        )
        self._check(described)
        known.described = described
        return described

    def pull(self, request: Any, context: Any) -> Any:
        subscription = _known(self._subscriptions, request.subscription)
        while context.is_active():
            self._forward()
            if received := _delivered(subscription, request.max_messages):
                return types.PullResponse(received_messages=received)
            self._changed.wait(_CHECK_SECONDS)
        return types.PullResponse()

    def acknowledge(self, request: Any, _: object) -> Any:
        subscription = _known(self._subscriptions, request.subscription)
        subscription.messages = [
            one for one in subscription.messages if one.ack_id not in set(request.ack_ids)
        ]
        return Empty()

    def modify_ack_deadline(self, request: Any, _: object) -> Any:
        subscription = _known(self._subscriptions, request.subscription)
        for one in subscription.messages:
            if one.ack_id in set(request.ack_ids):
                one.due = time.time() + request.ack_deadline_seconds
        return Empty()

    def handler(self, method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """The method, one at a time, its outcome in the file before it is answered."""

        def answer(request: Any, context: Any) -> Any:
            with self._changed:
                try:
                    response = method(request, context)
                except _RefusedError as refused:
                    context.abort(refused.code, str(refused))
                self._save()
                self._changed.notify_all()
            return response

        return answer

    def _put(self, topic: str, message: Any) -> None:
        for subscription in self._subscriptions.values():
            if subscription.described.topic == topic and subscription.wants(message):
                subscription.messages.append(_Message(message))

    def _forward(self) -> None:
        """Send on what was delivered too often, with all its attributes and where it comes from."""
        for name, subscription in list(self._subscriptions.items()):
            policy = subscription.described.dead_letter_policy
            for one in list(subscription.messages):
                if policy and one.attempts >= policy.max_delivery_attempts and _is_due(one):
                    subscription.messages.remove(one)
                    message = types.PubsubMessage(one.message)
                    message.attributes["CloudPubSubDeadLetterSourceSubscription"] = name
                    message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = str(
                        one.attempts
                    )
                    self._put(policy.dead_letter_topic, message)

    def _check(self, subscription: Any) -> None:
        policy, text = subscription.dead_letter_policy, subscription.filter
        self._known_topic(subscription.topic)
        if policy:
            self._known_topic(policy.dead_letter_topic)
        for is_right, what in (
            (subscription.ack_deadline_seconds in (0, *range(10, 601)), "ack_deadline_seconds"),
            (not policy or 5 <= policy.max_delivery_attempts <= 100, "max_delivery_attempts"),
            (not text or _FILTER.fullmatch(text), "filter"),
        ):
            if not is_right:
                raise _RefusedError(grpc.StatusCode.INVALID_ARGUMENT, f"{what} is wrong")

    def _known_topic(self, name: str) -> None:
        _known(self._topics, name)

    def _save(self) -> None:
        if not self._file:
            return
        state = {
            "topics": [_text(types.Topic, topic) for topic in self._topics.values()],
            "subscriptions": [
                [_text(types.Subscription, subscription.described), *_rows(subscription)]
                for subscription in self._subscriptions.values()
            ],
        }
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps(state))
        written.replace(self._file)

    def _load(self, state: Any) -> None:
        for text in state["topics"]:
            topic = _read(types.Topic, text)
            self._topics[topic.name] = topic
        for text, *rows in state["subscriptions"]:
            described = _read(types.Subscription, text)
            self._subscriptions[described.name] = _Subscription(
                described,
                [_Message(_read(types.PubsubMessage, message), *rest) for message, *rest in rows],
            )


def _delivered(subscription: _Subscription, most: int) -> list[Any]:
    due = (one for one in subscription.messages if _is_due(one))
    received = []
    for one in itertools.islice(due, most):
        one.attempts += 1
        one.due = subscription.deadline()
        one.ack_id = uuid.uuid4().hex
        received.append(
            types.ReceivedMessage(
                ack_id=one.ack_id, message=one.message, delivery_attempt=one.attempts
            )
        )
    return received


def _is_due(message: _Message) -> bool:
    return message.due <= time.time()


def _new(known: dict[str, Any], name: str) -> None:
    if name in known:
        raise _RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")


def _known(known: dict[str, Any], name: str) -> Any:
    if name not in known:
        raise _RefusedError(grpc.StatusCode.NOT_FOUND, f"{name} does not exist")
    return known[name]


def _rows(subscription: _Subscription) -> Iterator[list[Any]]:
    for one in subscription.messages:
        yield [_text(types.PubsubMessage, one.message), one.attempts, one.due, one.ack_id]


def _text(kind: Any, message: Any) -> str:
    return base64.b64encode(kind.serialize(message)).decode()


def _read(kind: Any, text: str) -> Any:
    return kind.deserialize(base64.b64decode(text))


def _service(server: PubSub, name: str, calls: dict[str, tuple[str, Any, Any]]) -> Any:
    return grpc.method_handlers_generic_handler(
        f"google.pubsub.v1.{name}",
        {
            call: grpc.unary_unary_rpc_method_handler(
                server.handler(getattr(server, method)),
                request_deserializer=request.deserialize,
                response_serializer=(
                    Empty.SerializeToString if response is Empty else response.serialize
                ),
            )
            for call, (method, request, response) in calls.items()
        },
    )


def serve(port: int, file: Path | None) -> None:
    """Serve on this machine until the process is killed."""
    state = PubSub(file)
    server = grpc.server(
        ThreadPoolExecutor(_PULLS_AT_ONCE),
        options=(("grpc.so_reuseport", 0),),
    )
    publisher = {
        "CreateTopic": ("create_topic", types.Topic, types.Topic),
        "Publish": ("publish", types.PublishRequest, types.PublishResponse),
    }
    subscriber = {
        "CreateSubscription": ("create_subscription", types.Subscription, types.Subscription),
        "GetSubscription": ("get_subscription", types.GetSubscriptionRequest, types.Subscription),
        "UpdateSubscription": (
            "update_subscription",
            types.UpdateSubscriptionRequest,
            types.Subscription,
        ),
        "Pull": ("pull", types.PullRequest, types.PullResponse),
        "Acknowledge": ("acknowledge", types.AcknowledgeRequest, Empty),
        "ModifyAckDeadline": ("modify_ack_deadline", types.ModifyAckDeadlineRequest, Empty),
    }
    server.add_generic_rpc_handlers(
        (_service(state, "Publisher", publisher), _service(state, "Subscriber", subscriber))
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
