"""A worker: a Celery process that handles the messages of one queue, until it is asked to stop.

Handling one message belongs to `handling`.
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Sequence

from celery import Celery
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.rules_in_use import RulesInUse
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store, connect_store
from enrichment_pipeline.store.database.errors import StoreUnavailableError, first_line
from enrichment_pipeline.workers.app import celery_app
from enrichment_pipeline.workers.brokers.broker import Broker
from enrichment_pipeline.workers.handling import handle
from enrichment_pipeline.workers.notifying import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, notify
from enrichment_pipeline.workers.pool import TaskPool
from enrichment_pipeline.workers.queues import NOTIFICATION, Queue

logger = logging.getLogger(__name__)

_AWAY_SECONDS = 5.0

_LOG_FORMAT = "%(asctime)s %(levelname)s %(process)d %(message)s"


class _Handler:
    """Handles messages in each process of the worker, with a store opened after the fork."""

    def __init__(self, app: Celery, settings: Settings, rules: Rules, queue: Queue) -> None:
        self._app = app
        self._settings = settings
        self._rules = RulesInUse(settings.rules_file, rules)
        self._queue = queue
        self._store: Store | None = None

    def open(self, **_: object) -> None:
        # Ctrl-C reaches every process of the terminal; a message under way is handled first.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def close(self, **_: object) -> None:
        if self._store:
            self._store.close()

    def notify(self, batches: Sequence[int]) -> None:
        try:
            store = self._opened()
        except StoreUnavailableError as error:
            logger.warning("PostgreSQL does not answer (%s); the message is sent anew", error)
            time.sleep(_AWAY_SECONDS)
            self._notify(batches)
            return
        handle(store, self._rules.now(store), batches, self._notify)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = connect_store(self._settings)
        return self._store

    def _notify(self, batches: Sequence[int]) -> None:
        try:
            notify(self._app, batches, self._queue)
        except Exception as error:  # noqa: BLE001  of five clients; the sensor finds what is due
            logger.warning("the broker takes no notification: %s", error)


def serve(broker: Broker, settings: Settings, queue: Queue, processes: int) -> int:
    """Handle messages in `processes` processes until SIGTERM or SIGINT; messages under way are
    handled first. Returns the exit status.

    Raises:
        RulesFileError: the rules cannot be read.
    """
    _declare(broker)
    app = celery_app(broker)
    handler = _Handler(app, settings, load_rules(settings.rules_file), queue)
    app.task(handler.notify, name=NOTIFICATION, shared=False)
    setup_logging.connect(_log, weak=False)
    worker_process_init.connect(handler.open, weak=False)
    worker_process_shutdown.connect(handler.close, weak=False)
    worker = app.Worker(
        hostname=f"{queue}@{socket.gethostname()}:{os.getpid()}",
        queues=[str(queue)],
        concurrency=processes,
        pool=TaskPool,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _declare(broker: Broker) -> None:
    """Make the queues; waits for the broker as long as needed, as Celery does for connections."""
    _log()
    wait = FIRST_WAIT_SECONDS
    while True:
        try:
            broker.declare()
        except Exception as error:  # noqa: BLE001  of five clients; it is logged, and tried again
            logger.warning("%s does not answer (%s); waiting …", broker.name, first_line(error))
            time.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        else:
            return


def _log(**_: object) -> None:
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, force=True)
    # These write a line for each message received and handled, although `handling` logs what was
    # enriched, and a line for each request to Azure.
    for name in ("celery.worker.strategy", "celery.app.trace", "azure"):
        logging.getLogger(name).setLevel(logging.WARNING)
