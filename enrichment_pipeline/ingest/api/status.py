"""The routes about the API itself: whether it is alive and ready, its metrics, its description."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from sqlalchemy import QueuePool, text
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from enrichment_pipeline.ingest.api.metrics import Metrics
from enrichment_pipeline.ingest.api.micro_batch import Budget, MicroBatcher
from enrichment_pipeline.ingest.api.tokens import bearer, same_secret
from enrichment_pipeline.store.database.engine import Store

_INDEX = """\
This is the ingest API of enrichment_pipeline: PostHog events in, LLM-ready events out.

Give PostHog's SDKs the host {host} and a token of ENRICHMENT_PROJECT_TOKENS.

POST /e/ /i/v0/e/ /capture/ /track/ /engage/ /batch/   events, as PostHog's SDKs send them
POST /i/v1/analytics/events                            the same, answered event by event
POST /webhook/PROJECT                                  events that PostHog forwards
POST /s/                                               recordings of sessions; left out
GET  /static/array.js /array/TOKEN/config /flags/ /decide/   what posthog-js asks for
GET  /healthz /readyz                                  whether it is alive, and ready

With "Authorization: Bearer READ_TOKEN" (ENRICHMENT_READ_TOKEN, or the file read_token):

GET  /v1/sessions/SESSION/timeline /v1/people/DISTINCT_ID/timeline   what users did
GET  /v1/count /v1/funnel /v1/paths /v1/compare /v1/retention   how many, and the sessions behind
GET  /metrics /openapi.json                            for Prometheus; every route in detail

A browser that opens / gets pages for people: what users did, counted and session by session.

More is in docs/reference/api.md.
"""

Handler = Callable[[Request], Awaitable[Response]]

_ANSWER_SECONDS = 2
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class Status:
    """The routes, and what they report on."""

    def __init__(
        self, store: Store, read_token: str, batcher: MicroBatcher, budget: Budget, metrics: Metrics
    ) -> None:
        self._store = store
        self._read_token = read_token
        self._batcher = batcher
        self._budget = budget
        self._metrics = metrics

    async def index(self, request: Request) -> Response:
        """`/`: what this API is, in short."""
        return PlainTextResponse(_INDEX.format(host=str(request.base_url).rstrip("/")))

    async def healthz(self, _: Request) -> Response:
        """`/healthz`: the process responds."""
        return PlainTextResponse("ok")

    async def readyz(self, _: Request) -> Response:
        """`/readyz`: the store responds, and there is memory for requests."""
        if self._budget.taken > 0.9 * self._budget.most:
            return PlainTextResponse("overloaded", 503)
        try:
            await asyncio.wait_for(run_in_threadpool(self._ask_store), _ANSWER_SECONDS)
        except Exception as error:  # noqa: BLE001  whatever it is, the store is not ready
            return PlainTextResponse(f"the store does not answer: {type(error).__name__}", 503)
        return PlainTextResponse("ready")

    async def metrics(self, request: Request) -> Response:
        """`/metrics`, for clients with the read token."""
        if not self._may_read(request):
            return not_for_you()
        self._measure()
        try:
            await asyncio.wait_for(
                run_in_threadpool(self._metrics.read_queue, self._store), _ANSWER_SECONDS
            )
            self._metrics.store_up.set(1)
        except Exception:  # noqa: BLE001  the other metrics matter most while the store is gone
            self._metrics.store_up.set(0)
        return Response(self._metrics.text(), headers={"Content-Type": _PROMETHEUS})

    async def keep_publishing(self, seconds: float) -> None:
        """Show the other processes what this one has counted, every so many seconds."""
        while True:
            await asyncio.sleep(seconds)
            self._measure()
            self._metrics.publish()

    async def openapi(self, request: Request) -> Response:
        """`/openapi.json`, for clients with the read token."""
        return JSONResponse(description()) if self._may_read(request) else not_for_you()

    def index_beside(self, home: Handler) -> Handler:
        """`/` for all: `home` for browsers, the index for anything else."""

        async def handle(request: Request) -> Response:
            response = await (home if wants_html(request) else self.index)(request)
            response.headers.add_vary_header("Accept")
            return response

        return handle

    def for_readers(self, handler: Handler) -> Handler:
        """Wrap a handler, so that it requires the read token."""

        async def handle(request: Request) -> Response:
            return await handler(request) if self._may_read(request) else not_for_you()

        return handle

    def _measure(self) -> None:
        self._metrics.memory.set(self._budget.taken)
        self._metrics.waiting.set(self._batcher.waiting_events)
        self._metrics.connections.set(cast("QueuePool", self._store.engine.pool).checkedout())

    def _may_read(self, request: Request) -> bool:
        return same_secret(bearer(request.headers.get("Authorization")), self._read_token)

    def _ask_store(self) -> None:
        with self._store.transaction() as connection:
            connection.execute(text("SELECT 1"))


def wants_html(request: Request) -> bool:
    """Whether a browser asks, which shows pages to a person."""
    return "text/html" in request.headers.get("Accept", "")


def not_for_you() -> Response:
    """The response to who has not got the read token."""
    return PlainTextResponse(
        "the read token is needed, as Authorization: Bearer …",
        401,
        {"WWW-Authenticate": "Bearer"},
    )


@cache
def description() -> dict[str, Any]:
    """The OpenAPI description of the API."""
    file = Path(__file__).with_name("openapi.yaml")
    return cast("dict[str, Any]", yaml.safe_load(file.read_text(encoding="utf-8")))
