"""Serving the API: one process, until it is asked to stop."""

import logging
import signal
from collections.abc import Mapping
from types import MappingProxyType

import uvicorn

from enrichment_pipeline.ingest.api.app import Notifier, Pages, create_app
from enrichment_pipeline.ingest.api.status import Handler
from enrichment_pipeline.ingest.processes import process_count
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store

_STOP_SECONDS = 30
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 4096


def serve(
    store: Store,
    settings: Settings,
    notifier: Notifier | None = None,
    readable: Mapping[str, Handler] = MappingProxyType({}),
    pages: Pages | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are committed and responded to first.
    `notifier`, `readable` and `pages` are as in `create_app`.

    Raises:
        SettingsError: the tokens, or the channels of the alerts, are wrong.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = uvicorn.Config(
        create_app(store, settings, process_count(), notifier, readable, pages),
        host=settings.host,
        port=settings.api_port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        backlog=_BACKLOG,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops gracefully, then sends itself the signal once more for the handler before
        # its own: that would end this process before the store is closed.
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run()
