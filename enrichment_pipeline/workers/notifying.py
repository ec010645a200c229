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
"""Batches that wait to be published; what comes when there are more is left to the sensor."""

MOST_BATCHES = 100
"""Ids in one message: a kilobyte."""

PAUSE_SECONDS = 0.02
"""Between two messages: whoever answers one takes all that is due, so more of them make no
difference but to the processes that send and read them."""

FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 15.0
"""Between two attempts to publish while the broker is away."""

LOOK_SECONDS = 15.0
"""Between two looks at how many messages wait."""

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
    """Publishes in a thread of its own what it is given."""

    def __init__(self, app: Celery, broker: Broker) -> None:
        self.count: Callable[[str, int], None] = lambda outcome, batches: None
        """Is told of how many batches the notification was `published`, or `left` to the sensor."""
        self.measure: Callable[[str, int | None], None] = lambda queue, messages: None
        """Is told how many messages wait in each queue; None where nobody knows."""
        self._app = app
        self._broker = broker
        self._waiting: Waiting[int] = Waiting(MOST_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notification", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="depth", daemon=True)

    def start(self) -> None:
        """Begin to publish, and to look at the queues."""
        self._thread.start()
        self._watcher.start()

    def notify(self, batches: Sequence[int]) -> None:
        """Let these batches be published soon; never waits, never raises."""
        for number, batch in enumerate(batches):
            try:
                self._waiting.put_nowait(batch)
            except Full:
                self.count("left", len(batches) - number)
                return

    def close(self) -> None:
        """Publish what is waiting, if the broker takes it at once, and stop."""
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
            if self._closing.wait(LOOK_SECONDS):
                return

    def _next(self) -> list[int]:
        """What waits, as much as goes into a message; empty once we are closing."""
        batches: list[int] = []
        while not batches and not (self._closing.is_set() and self._waiting.empty()):
            try:
                batches.append(self._waiting.get(timeout=0.5))
            except Empty:
                continue
            while len(batches) < MOST_BATCHES and not self._waiting.empty():
                batches.append(self._waiting.get_nowait())
        return batches
