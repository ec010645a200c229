"""What is special to AWS SQS: its URL, the way of dead letters, and a transport that is mended."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kombu import Connection
from kombu import Queue as KombuQueue
from kombu.exceptions import OperationalError

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.broker import BrokerError
from enrichment_pipeline.workers.brokers.choosing import broker_at
from enrichment_pipeline.workers.brokers.sqs import SQS
from enrichment_pipeline.workers.notifying import notify
from enrichment_pipeline.workers.queues import LOCK_SECONDS, MOST_DELIVERIES, Queue
from enrichment_pipeline_tests.workers.parts.sqs import REGION, SQSPart
from enrichment_pipeline_tests.workers.running import (
    OTHER_TASK,
    UNREADABLE,
    WITHOUT_BODY,
    a_worker,
    enriched,
    loaded,
    notified,
)

STOP_SECONDS = 15


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SQSPart]:
    """An account that this process and those it starts reach."""
    with SQSPart(tmp_path) as running:
        monkeypatch.setenv("BROKER_URL", running.url)
        yield running


@pytest.fixture
def broker(part: SQSPart) -> SQS:
    """Our side of it, its queues declared."""
    made = SQS(part.url)
    made.declare()
    return made


@pytest.mark.parametrize(
    "url",
    [
        "sqs://KEY@",
        "sqs://KEY:@",
        "sqs://KEY:password/@",
        "sqs://KEY:password+/@",
        "sqs://KEY:password@sqs.example",
        "sqs://KEY:password@/queue",
        "sqs://KEY:password@?zone=eu",
        "sqs://KEY:password@#eu",
    ],
)
def test_a_wrong_url_is_refused_with_one_line_that_shows_a_right_one_and_no_secret(
    url: str,
) -> None:
    with pytest.raises(BrokerError, match=r"must look like sqs://KEY:SECRET@") as refusal:
        broker_at(url)
    assert "\n" not in str(refusal.value)
    assert "password" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "credentials", "region"),
    [
        ("sqs://", (None, None), None),
        ("sqs://?region=eu-west-1", (None, None), "eu-west-1"),
        ("sqs://KEY:a%2Fb%2Bc@", ("KEY", "a/b+c"), None),
        ("sqs://KEY:SECRET@?region=eu-west-1", ("KEY", "SECRET"), "eu-west-1"),
    ],
)
def test_a_url_names_credentials_and_a_region_or_leaves_them_to_aws(
    url: str, credentials: tuple[str | None, str | None], region: str | None
) -> None:
    settings = SQS(url).celery_settings()
    connection = Connection(settings["broker_url"])
    assert (connection.userid, connection.password) == credentials
    assert connection.hostname is None
    options = settings["broker_transport_options"]
    assert isinstance(options, dict)
    assert options["region"] == region


def test_without_a_region_in_the_url_it_is_the_one_of_the_environment(
    part: SQSPart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    SQS(part.url.partition("?")[0]).declare()
    assert len(part.client().list_queues()["QueueUrls"]) == len(Queue)


def test_declaring_makes_the_lock_and_the_way_of_dead_letters_and_may_be_repeated(
    part: SQSPart, broker: SQS
) -> None:
    broker.declare()
    assert len(part.client().list_queues()["QueueUrls"]) == len(Queue)
    assert_declared(part)


def test_declaring_mends_a_queue_that_somebody_made_and_keeps_what_else_it_has(
    part: SQSPart,
) -> None:
    theirs = {"VisibilityTimeout": "7", "MessageRetentionPeriod": "86400"}
    part.client().create_queue(QueueName=str(Queue.ENRICH), Attributes=theirs)
    SQS(part.url).declare()
    assert_declared(part)
    assert attributes(part, Queue.ENRICH)["MessageRetentionPeriod"] == "86400"


def assert_declared(part: SQSPart) -> None:
    """Both queues are as they have to be."""
    notifications, dead_letters = (attributes(part, queue) for queue in Queue)
    assert json.loads(notifications["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead_letters["QueueArn"],
        "maxReceiveCount": MOST_DELIVERIES,
    }
    assert "RedrivePolicy" not in dead_letters
    for found in (notifications, dead_letters):
        assert found["VisibilityTimeout"] == str(LOCK_SECONDS)


def attributes(part: SQSPart, queue: Queue) -> dict[str, str]:
    """Of the queue, as the broker has them."""
    client = part.client()
    url = client.get_queue_url(QueueName=str(queue))["QueueUrl"]
    found: dict[str, str] = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    return found


def test_a_worker_that_comes_first_makes_the_way_of_dead_letters_too(part: SQSPart) -> None:
    with kombu_queues(SQS(part.url)):
        assert_declared(part)


@contextmanager
def kombu_queues(broker: SQS) -> Iterator[dict[Queue, KombuQueue]]:
    """The queues as a worker has them."""
    app = celery_app(broker)
    with app.connection_for_read() as connection, connection.channel() as channel:
        yield {queue: app.amqp.queues[str(queue)].bind(channel) for queue in Queue}


def test_the_depth_is_what_waits(broker: SQS) -> None:
    notify(celery_app(broker), [1])
    notify(celery_app(broker), [2])
    with kombu_queues(broker) as queues:
        assert queues[Queue.ENRICH].get()
        assert [broker.depth(queue) for queue in Queue] == [1, 0]


def test_a_message_that_is_given_back_too_often_comes_to_the_second_queue(broker: SQS) -> None:
    notify(celery_app(broker), [7])
    with kombu_queues(broker) as queues:
        for _ in range(MOST_DELIVERIES):
            queues[Queue.ENRICH].get().reject(requeue=True)
        assert queues[Queue.ENRICH].get() is None
        assert queues[Queue.DEAD_LETTER].get().payload[0] == [[7]]


def test_what_kills_from_the_second_queue_does_not_come_again_at_once(broker: SQS) -> None:
    notify(celery_app(broker), [7])
    with kombu_queues(broker) as queues:
        queues[Queue.ENRICH].get().reject()
        queues[Queue.DEAD_LETTER].get().reject(requeue=True)
        assert queues[Queue.DEAD_LETTER].get() is None
        assert broker.depth(Queue.DEAD_LETTER) == 0


def test_what_is_under_way_when_the_connection_is_lost_can_still_be_acknowledged(
    part: SQSPart, broker: SQS
) -> None:
    notify(celery_app(broker), [7])
    with kombu_queues(broker) as queues:
        message = queues[Queue.ENRICH].get()
    assert attributes(part, Queue.ENRICH)["ApproximateNumberOfMessagesNotVisible"] == "1"
    message.ack()
    assert attributes(part, Queue.ENRICH)["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_a_message_that_the_broker_does_not_take_is_an_error(part: SQSPart, broker: SQS) -> None:
    app = celery_app(broker)
    notify(app, [1])
    part.stop()
    with pytest.raises(OperationalError):
        notify(app, [2])


def test_a_notification_is_handled_and_sigterm_ends_the_worker(
    store: Store, broker: SQS, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(STOP_SECONDS) == 0


@pytest.mark.parametrize(
    "body",
    [b"\x00\xff", b"{}", b'{"properties": 5}', UNREADABLE, WITHOUT_BODY, OTHER_TASK],
    ids=["bytes", "nothing", "no envelope", "unreadable", "without body", "other task"],
)
def test_a_message_that_is_not_ours_goes_away_and_the_next_notification_is_handled(
    body: bytes, part: SQSPart, store: Store, broker: SQS, tmp_path: Path
) -> None:
    part.put_foreign(body)
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        worker.await_that(lambda: is_empty(part, Queue.ENRICH))
        assert worker.says("unknown message") or worker.says("unregistered task")
    assert broker.depth(Queue.DEAD_LETTER) == 1
    with a_worker(tmp_path, "dead_letter") as worker:
        worker.await_that(lambda: is_empty(part, Queue.DEAD_LETTER))


def is_empty(part: SQSPart, queue: Queue) -> bool:
    """Whether nothing waits, and nothing is under way."""
    found = attributes(part, queue)
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    return all(found[name] == "0" for name in names)


def test_a_process_that_is_killed_while_it_waits_leaves_its_message_to_the_next_one(
    part: SQSPart, store: Store, broker: SQS, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        child = worker.child()
        child.suspend()
        notify(celery_app(broker), loaded(store))
        worker.await_that(lambda: not is_empty(part, Queue.ENRICH) and not waits(broker))
        child.kill()
        worker.await_that(lambda: enriched(store) == 1)
        worker.await_that(lambda: is_empty(part, Queue.ENRICH))


def waits(broker: SQS) -> bool:
    """Whether a notification waits that nobody has received."""
    return broker.depth(Queue.ENRICH) != 0


def test_a_worker_goes_on_when_the_broker_was_away_and_has_lost_all(
    part: SQSPart, store: Store, broker: SQS, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        worker.await_that(notified(store, broker, 1))
        part.stop()
        worker.await_that(lambda: worker.says("Trying again"))
        part.start()
        broker.declare()
        worker.await_that(notified(store, broker, 2))


def test_a_request_that_is_refused_does_not_end_the_worker(
    part: SQSPart, store: Store, broker: SQS, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        client = part.client()
        url = client.get_queue_url(QueueName=str(Queue.ENRICH))["QueueUrl"]
        client.delete_queue(QueueUrl=url)
        worker.await_that(lambda: worker.says("Connection to broker lost"))
        worker.await_that(lambda: len(client.list_queues()["QueueUrls"]) == len(Queue))
        worker.await_that(notified(store, broker, 1))


def test_sigterm_ends_a_worker_that_waits_for_the_broker(
    part: SQSPart, broker: SQS, database: str, tmp_path: Path
) -> None:
    with a_worker(tmp_path) as worker:
        part.stop()
        worker.await_that(lambda: worker.says("Trying again"))
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(STOP_SECONDS) == 0
