"""The API on a port of its own, served by a thread of the process that runs the test.

As a process of its own, as users run it, it takes three seconds to start: `clients.serving`.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from enrichment_pipeline.ingest.api.app import Parts, create_app
from enrichment_pipeline.ingest.api.tokens import read_token
from enrichment_pipeline.llm.http import reading_routes
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.web.pages import Pages

_SECONDS = 20


@contextmanager
def served_by_a_thread(store: Store, settings: Settings) -> Iterator[str]:
    """Serve the application on a real server; gives its URL."""
    pages = Pages(store, read_token(settings))
    app = create_app(store, settings, parts=Parts(readable=reading_routes(store), pages=pages))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(_SECONDS)
    assert not thread.is_alive()
