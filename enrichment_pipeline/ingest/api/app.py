"""The ingest API as an ASGI application: its routes, and what lives as long as it does."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import NamedTuple, Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from enrichment_pipeline.alerts.watcher import Watcher
from enrichment_pipeline.ingest.api import browser
from enrichment_pipeline.ingest.api.accept import Accepted, Submission
from enrichment_pipeline.ingest.api.capture import Capture
from enrichment_pipeline.ingest.api.cors import Application, for_pages_of_any_origin
from enrichment_pipeline.ingest.api.exchange import Endpoint
from enrichment_pipeline.ingest.api.metrics import Metrics
from enrichment_pipeline.ingest.api.micro_batch import Budget, MicroBatcher
from enrichment_pipeline.ingest.api.shared import Share, SharedBudget
from enrichment_pipeline.ingest.api.status import Handler, Status
from enrichment_pipeline.ingest.api.tokens import ProjectTokens, read_token
from enrichment_pipeline.ingest.api.writers import Writers
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store

MEMORY_BYTES = 256 * 1024 * 1024
"""Memory that all requests under way may take together; past that the response is 503."""

PUBLISH_SECONDS = 1.0
"""How often each of several processes shows the others what it has counted."""

_V0 = ("/e", "/i/v0/e", "/i/v0/ai/batch", "/capture", "/track", "/batch")
_V1 = "/i/v1/analytics/events"
_OPTIONS = (*_V0, "/engage", "/s", _V1, "/flags", "/decide")
_SEND = ["GET", "POST"]

logger = logging.getLogger(__name__)


class Notifier(Protocol):
    """Notifies workers of batches that are due now."""

    count: Callable[[str, int], None]
    """Called with the outcome of notifications, and of how many batches they were."""
    measure: Callable[[str, int | None], None]
    """Called with a queue, and how many messages wait there."""

    def start(self) -> None:
        """Begin to notify."""

    def notify(self, batches: Sequence[int]) -> None:
        """Notify that these batches are due now; neither waits nor raises."""

    def close(self) -> None:
        """Stop notifying."""


class Pages(Protocol):
    """Pages for people, who sign in with the read token."""

    @property
    def routes(self) -> Sequence[Route]:
        """All but `/`."""

    async def home(self, request: Request) -> Response:
        """What a browser gets at `/`."""


class Parts(NamedTuple):
    """What other packages add to the API."""

    notifier: Notifier | None = None
    """Called after each commit."""
    readable: Mapping[str, Handler] = MappingProxyType({})
    """More routes, by path, for clients with the read token."""
    pages: Pages | None = None
    """For people."""


_NO_PARTS = Parts()


def create_app(
    store: Store,
    settings: Settings,
    processes: int = 0,
    parts: Parts = _NO_PARTS,
    share: Share | None = None,
) -> Starlette:
    """The ASGI application; `processes` writers commit. With a `share`, this process is one of
    several that serve the API together.

    Raises:
        SettingsError: the tokens, or the channels of the alerts, are wrong.
    """
    notifier, readable, pages = parts
    tokens = ProjectTokens(settings)
    metrics = Metrics(share)
    watcher = Watcher(store, settings, metrics.count_alert_failure, metrics.set_store_down)
    metrics.alert_channels = [channel.name for channel in watcher.channels]
    budget = SharedBudget(MEMORY_BYTES, share) if share else Budget(MEMORY_BYTES)
    watches = share is None or share.watches

    writers = Writers(store, processes)

    async def commit(group: Sequence[Submission]) -> Accepted:
        try:
            accepted = await writers.commit(group)
        except Exception as error:
            logger.warning("no commit, senders are asked to send their events again: %s", error)
            raise
        metrics.count(group[0].origin.source, accepted.result)
        if notifier:
            notifier.notify(accepted.result.batches)
        return accepted

    batcher = MicroBatcher(commit, writers.count)
    secret = settings.webhook_secret
    capture = Capture(
        tokens, secret.get_secret_value() if secret else None, batcher, budget, metrics
    )
    status = Status(store, read_token(settings), batcher, budget, metrics)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        if notifier:
            notifier.count, notifier.measure = metrics.count_notifications, metrics.measure_queue
            notifier.start()
        batcher.start()
        if watches:
            watcher.start()
        publishing = asyncio.create_task(status.keep_publishing(PUBLISH_SECONDS)) if share else None
        yield
        await batcher.close()
        writers.close()
        if notifier:
            await asyncio.to_thread(notifier.close)
        if watches:
            await asyncio.to_thread(watcher.stop)
        if publishing:
            publishing.cancel()
            metrics.publish()

    v0 = Endpoint(capture.v0())
    by_get = {
        **{path: v0 for name in _V0 for path in _both(name)},
        **dict.fromkeys(_both("/engage"), Endpoint(capture.v0("$identify"))),
        **dict.fromkeys(_both("/s"), Endpoint(capture.recording)),
    }
    by_post = {**by_get, **dict.fromkeys(_both(_V1), Endpoint(capture.v1))}
    webhook = Endpoint(capture.webhook)
    routes = [
        *(Route(path, by_get[path], methods=_SEND) for path in by_get),
        *(Route(path, by_post[path], methods=["POST"]) for path in _both(_V1)),
        *(Route(path, webhook, methods=["POST"]) for path in _both("/webhook/{project}")),
        *(Route(path, _options, methods=["OPTIONS"]) for name in _OPTIONS for path in _both(name)),
        Route("/array/{token}/config", browser.config),
        Route("/array/{token}/config.js", browser.config_script),
        *(Route(path, browser.flags, methods=_SEND) for path in _both("/flags")),
        *(Route(path, browser.decide, methods=_SEND) for path in _both("/decide")),
        Route("/static/{file:path}", browser.static),
        Route("/", status.index_beside(pages.home) if pages else status.index),
        Route("/healthz", status.healthz),
        Route("/readyz", status.readyz),
        Route("/metrics", status.metrics),
        Route("/openapi.json", status.openapi),
        *(Route(path, status.for_readers(handler)) for path, handler in readable.items()),
        *(pages.routes if pages else ()),
    ]
    app = Application(
        routes=routes,
        lifespan=lifespan,
        middleware=[_for_addresses_behind_a_proxy(), for_pages_of_any_origin()],
        exception_handlers={404: _no_route},
    )
    app.direct = by_post
    return app


def _for_addresses_behind_a_proxy() -> Middleware:
    """The scheme and the client that a proxy names; uvicorn's, with the variable that it reads."""
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")
    return Middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)


async def _no_route(_: Request, __: Exception) -> Response:
    return PlainTextResponse("no such route; GET / names those that there are", 404)


async def _options(_: Request) -> Response:
    """OPTIONS requests other than preflights, which the middleware handles."""
    return Response()


def _both(path: str) -> tuple[str, str]:
    return path, f"{path}/"
