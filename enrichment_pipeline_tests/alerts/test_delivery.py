"""Delivering: each channel by itself, until it has arrived, in order."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from enrichment_pipeline.alerts.channels import Channel, channels
from enrichment_pipeline.alerts.delivery import (
    FIRST_WAIT,
    LONGEST_WAIT,
    deliver,
    deliver_everywhere,
    wait_after,
)
from enrichment_pipeline.alerts.messages import trial_message
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.monitoring.alerts import (
    UndeliveredMessage,
    queue_message,
    undelivered_messages,
)
from enrichment_pipeline_tests.alerts.receivers import SECRET, Receiver, receiver
from enrichment_pipeline_tests.conftest import free_port

Queue = Callable[..., None]


def webhook(url: str) -> Channel:
    [channel] = channels(Settings(alert_webhook=SecretStr(url)))
    return channel


@pytest.fixture
def queue(store: Store) -> Queue:
    """Puts messages on their way to some channels, under a key."""

    def put(*names: str, key: str = "a", count: int = 1) -> None:
        message = trial_message(datetime(2026, 3, 1, tzinfo=UTC)).as_json()
        for number in range(count):
            with store.transaction() as connection:
                sent = {**message, "count": number, "key": key}
                queue_message(connection, key, names, sent, in_place_of_earlier=False)

    return put


def waiting(store: Store) -> list[UndeliveredMessage]:
    with store.transaction() as connection:
        return undelivered_messages(connection, 99)


def make_due(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE alert_message SET due_at = now()"))


def test_what_is_on_its_way_is_delivered_once_and_in_order(
    store: Store, queue: Queue, inbox: Receiver
) -> None:
    channel = webhook(inbox.webhook)
    queue(channel.name, count=3)
    for _ in range(2):
        deliver(store, channel)
    assert [message["count"] for message in inbox.all()] == [0, 1, 2]
    assert waiting(store) == []


def test_a_channel_that_is_down_is_tried_again_and_the_others_are_not_held_up(
    store: Store, queue: Queue, inbox: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    well, down = webhook(inbox.webhook), webhook(f"http://127.0.0.1:{free_port()}/{SECRET}")
    queue(well.name, down.name)
    deliver_everywhere(store, [down, well])
    assert len(inbox.all()) == 1
    [message] = waiting(store)
    assert (message.channel, message.attempts) == (down.name, 1)
    assert message.last_error == "ConnectError: [Errno 111] Connection refused"
    assert f"an alert did not arrive, {down.name}: ConnectError" in caplog.text
    assert SECRET not in caplog.text


def test_it_waits_before_it_is_tried_again_and_arrives_when_the_channel_is_back(
    store: Store, queue: Queue, inbox: Receiver
) -> None:
    channel, failures = webhook(inbox.webhook), list[str]()
    queue(channel.name)
    inbox.status = 503
    for attempts in (1, 2):
        deliver(store, channel, failures.append)
        deliver(store, channel, failures.append)
        [message] = waiting(store)
        assert message.attempts == attempts
        wait = message.due_at - datetime.now(UTC)
        assert wait_after(attempts) - timedelta(seconds=5) < wait <= wait_after(attempts)
        make_due(store)
    assert failures == [channel.name] * 2
    inbox.status = 200
    deliver(store, channel, failures.append)
    first, second, arrived = inbox.next_refused(), inbox.next_refused(), inbox.next()
    assert first == second == arrived
    assert waiting(store) == []


def test_one_message_that_is_refused_does_not_hold_up_those_behind_it(
    store: Store, queue: Queue, inbox: Receiver
) -> None:
    channel = webhook(inbox.webhook)
    queue(channel.name, key="a")
    inbox.status = 400
    deliver(store, channel)
    inbox.status = 200
    queue(channel.name, key="b")
    deliver(store, channel)
    assert [message["key"] for message in inbox.all()] == ["b"]


def test_the_end_of_an_alert_does_not_arrive_before_its_beginning(
    store: Store, queue: Queue, inbox: Receiver
) -> None:
    channel = webhook(inbox.webhook)
    queue(channel.name, key="a")
    inbox.status = 500
    deliver(store, channel)
    inbox.status = 200
    queue(channel.name, key="a")
    deliver(store, channel)
    assert inbox.all() == []
    make_due(store)
    deliver(store, channel)
    assert len(inbox.all()) == 2


def test_several_who_deliver_at_once_deliver_each_message_once(
    store: Store, queue: Queue, inbox: Receiver
) -> None:
    channel = webhook(inbox.webhook)
    for key in "abcdefgh":
        queue(channel.name, key=key)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: deliver(store, channel), range(4)))
    assert sorted(message["key"] for message in inbox.all()) == list("abcdefgh")


def test_what_a_process_was_delivering_when_it_died_is_delivered_by_another(
    store: Store, queue: Queue, inbox: Receiver
) -> None:
    with receiver() as hanging:
        hanging.release.clear()
        dying, living = webhook(hanging.webhook), webhook(inbox.webhook)
        living.name = dying.name
        queue(dying.name)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(deliver, store, dying)
            assert hanging.reached.wait(10)
            deliver(store, living)
            assert inbox.all() == [], "somebody delivers it"
            make_due(store)  # the lease has run out
            deliver(store, living)
            assert len(inbox.all()) == 1
            hanging.release.set()


def test_a_message_of_a_channel_that_is_not_ours_is_left_alone(
    store: Store, queue: Queue, inbox: Receiver
) -> None:
    queue("webhook-other")
    deliver(store, webhook(inbox.webhook))
    assert inbox.all() == []
    assert len(waiting(store)) == 1


@given(st.integers(1, 10_000))
def test_waits_double_up_to_the_longest(attempts: int) -> None:
    wait = wait_after(attempts)
    assert FIRST_WAIT <= wait <= LONGEST_WAIT
    assert wait_after(attempts + 1) == min(2 * wait, LONGEST_WAIT)
