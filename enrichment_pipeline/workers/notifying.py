"""Notifying: publishing the ids of batches after their commit, without ever holding up a commit.

A notification that does not arrive costs latency and nothing else: the batch stays due, and the
sensor finds it.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from queue import Empty, Full
from queue import Queue as Waiting

from celery import Celery

from enrichment_pipeline.store.database.errors import first_line
from enrichment_pipeline.workers.brokers.broker import Broker
from enrichment_pipeline.workers.queues import NOTIFICATION, Queue

MOST_WAITING = 10_000
"""The most batches that wait to be published; further ones are left to the sensor."""

MOST_BATCHES = 100
"""The most ids in one message: a kilobyte."""

PAUSE_SECONDS = 0.02
"""Wait between two messages: the worker that handles one takes all that is due, so more messages
would only cost the processes that send and read them."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
"""Wait between two attempts to publish while the broker is unreachable."""

MEASURE_SECONDS = 15.0
"""Wait between two measurements of how many messages wait."""

_PUBLISH_SECONDS = 5.0
_CLOSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


def notify(app: Celery, batches: Sequence[int], to: Queue = Queue.ENRICH) -> None:
    """Publish one message about these batches, to the workers of that queue.

    Raises:
        Exception: the broker did not take it.
    """
    app.send_task(
        NOTIFICATION, args=[list(batches)], queue=str(to), retry=False, timeout=_PUBLISH_SECONDS
    )


class BrokerNotifier:
    """Publishes notifications in a thread of its own."""

    def __init__(self, app: Celery, broker: Broker) -> None:
        self.count: Callable[[str, int], None] = lambda outcome, batches: None
        """Called with `published`, or `left` (to the sensor), and the number of batches."""
        self.measure: Callable[[str, int | None], None] = lambda queue, messages: None
        """Called with a queue and how many messages wait there; None where that is unknown."""
        self._app = app
        self._broker = broker
        self._waiting: Waiting[int] = Waiting(MOST_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notification", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="depth", daemon=True)

    def start(self) -> None:
        """Begin to publish, and to measure the queues."""
        self._thread.start()
        self._watcher.start()

    def notify(self, batches: Sequence[int]) -> None:
        """Queue these batches to be published soon; never waits, never raises."""
        for number, batch in enumerate(batches):
            try:
                self._waiting.put_nowait(batch)
            except Full:
                self.count("left", len(batches) - number)
                return

    def close(self) -> None:
        """Publish the waiting batches, if the broker takes them at once, and stop."""
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)
        self._watcher.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        wait = FIRST_WAIT_SECONDS
        while batches := self._next():
            try:
                notify(self._app, batches)
            except Exception as error:  # noqa: BLE001  of five clients; no event depends on it
                self.count("left", len(batches))
                if wait == FIRST_WAIT_SECONDS:
                    logger.warning(
                        "the broker takes no notifications, the sensor finds what is due: %s",
                        first_line(error),
                    )
                if self._closing.wait(wait):
                    return
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            else:
                if wait != FIRST_WAIT_SECONDS:
                    logger.warning("the broker takes notifications again")
                wait = FIRST_WAIT_SECONDS
                self.count("published", len(batches))
                self._closing.wait(PAUSE_SECONDS)

    def _watch(self) -> None:
        while True:
            for queue in Queue:
                try:
                    depth = self._broker.depth(queue)
                except Exception:  # noqa: BLE001  as in _run, which says so
                    depth = None
                self.measure(queue, depth)
            if self._closing.wait(MEASURE_SECONDS):
                return

    def _next(self) -> list[int]:
        """The waiting batches, as many as one message holds; empty once the notifier is closing."""
        batches: list[int] = []
        while not batches and not (self._closing.is_set() and self._waiting.empty()):
            try:
                batches.append(self._waiting.get(timeout=0.5))
            except Empty:
                continue
            while len(batches) < MOST_BATCHES and not self._waiting.empty():
                batches.append(self._waiting.get_nowait())
        return batches
