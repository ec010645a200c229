"""One process that speaks HTTP, from its first request to its last.

How many there are, and what happens when one dies, belongs to `server`.
"""

import logging
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from socket import socket
from typing import NamedTuple

import uvicorn

from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.ingest.api.port import BACKLOG
from enrichment_pipeline.ingest.api.shared import Share
from enrichment_pipeline.ingest.processes import (
    begin_process,
    calm_garbage_collector,
    process_store,
)
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import first_line, is_store_failure
from enrichment_pipeline.wording import UserError

_STOP_SECONDS = 30
_KEEP_ALIVE_SECONDS = 75
_MOST_FILES = 65_536

MakeParts = Callable[[Store], Parts]
"""Makes the parts that other packages add to the API; a function of a module, for other processes
have to find it."""

logger = logging.getLogger(__name__)


class Task(NamedTuple):
    """What a process that was started for it does."""

    settings: Settings
    make_parts: MakeParts
    writers: int
    """How many writers it has."""
    share: Share
    listening: Sequence[socket]
    """The sockets that it accepts connections from."""
    ready: Connection
    """Gets True once it does."""


def speak_http(
    store: Store,
    make_parts: MakeParts,
    writers: int,
    share: Share | None = None,
    listening: Sequence[socket] = (),
    on_ready: Callable[[], object] = lambda: None,
) -> None:
    """Serve the API in this process until SIGINT or SIGTERM; requests under way are committed and
    responded to first. Where no sockets are `listening`, it opens those that the settings name.

    Raises:
        SettingsError: the tokens, or the channels of the alerts, are wrong.
    """
    _allow_connections()
    settings = store.settings
    config = uvicorn.Config(
        create_app(store, settings, writers, make_parts(store), share),
        host=settings.host,
        port=settings.api_port,
        access_log=False,
        log_config=None,
        server_header=False,
        # Requests that take events need no address: `app` has the middleware for the others.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        backlog=BACKLOG,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops gracefully, then sends itself the signal once more for the handler before
        # its own: that would end this process before the store is closed.
        signal.signal(number, lambda *_: None)
    _Server(config, on_ready).run(list(listening) or None)


def _allow_connections() -> None:
    """Allow as many open connections as this process may: Linux starts processes with 1,024 files,
    which is 1,000 browsers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


def run(task: Task) -> None:
    """What a process that was started for it does, until it is asked to stop."""
    begin_process(task.settings)
    begin_to_log()
    try:
        store = process_store()
        speak_http(
            store,
            task.make_parts,
            task.writers,
            task.share,
            task.listening,
            lambda: task.ready.send(True),
        )
        store.close()
    except Exception as error:
        if not isinstance(error, UserError) and not is_store_failure(error):
            raise
        logger.error("%s", first_line(error))  # noqa: TRY400  one line that a person can act on
        sys.exit(1)


def begin_to_log() -> None:
    """Log to standard error, as every process of the API does."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


class _Server(uvicorn.Server):
    """A server that says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket] | None = None) -> None:
        # Processes are started with both blocked; uvicorn's handlers are in place by now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
        await super().startup(sockets)
        calm_garbage_collector()
        if self.started:
            self._on_ready()
