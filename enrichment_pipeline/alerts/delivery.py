"""Delivering the queued messages, each channel independently."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from enrichment_pipeline.alerts.channels import SEND_SECONDS, Channel, attempt
from enrichment_pipeline.alerts.messages import Message
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.monitoring.alerts import mark_delivered, postpone, take_message

FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=15)

# Longer than sending can take: after that, the process that took the message no longer sends it.
_LEASE = timedelta(seconds=6 * SEND_SECONDS)

# The most messages of one call. A tick of a Dagster sensor must be short.
_MOST_AT_ONCE = 50

logger = logging.getLogger(__name__)

OnFailure = Callable[[str], None]
"""Called with the name of a channel that failed."""


def deliver(store: Store, channel: Channel, on_failure: OnFailure = lambda _: None) -> None:
    """Send what is due on this channel, up to the first message that does not arrive.

    That message is tried again after a pause, which doubles with each failure; the next call goes
    on with the other messages.
    """
    for _ in range(_MOST_AT_ONCE):
        with store.transaction() as connection:
            queued = take_message(connection, channel.name, _LEASE)
        if queued is None:
            return
        failure = attempt(channel, Message.from_json(queued.message))
        if failure is None:
            with store.transaction() as connection:
                mark_delivered(connection, queued)
            continue
        on_failure(channel.name)
        wait = wait_after(queued.attempts)
        with store.transaction() as connection:
            postpone(connection, queued, failure, wait)
        logger.warning(
            "an alert did not arrive, %s: %s; tried again in %d s",
            channel.name,
            failure,
            wait.total_seconds(),
        )
        return


def deliver_everywhere(store: Store, channels: Sequence[Channel]) -> None:
    """Send what is due on every channel, all at once."""
    with ThreadPoolExecutor(max(1, len(channels))) as pool:
        for outcome in [pool.submit(deliver, store, channel) for channel in channels]:
            outcome.result()


def wait_after(attempts: int) -> timedelta:
    """How long a message waits after so many failed attempts."""
    doubled: int = 2 ** min(attempts - 1, 16)
    return min(FIRST_WAIT * doubled, LONGEST_WAIT)
