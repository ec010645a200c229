"""The routes that take events: PostHog's v0 and v1, and PostHog's forwarded ones.

Each reads a request, hands its events to the gatherer, and answers after their commit. What SDKs
expect of an answer is PostHog's; see docs/api.md.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from enrichment_pipeline.events.raw_event import Arrival
from enrichment_pipeline.events.times import parse_timestamp
from enrichment_pipeline.ingest.api.accept import Kind, Submission, Verdicts
from enrichment_pipeline.ingest.api.bodies import (
    Sent,
    forwarded_event,
    read_body,
    sent_at_parameter,
)
from enrichment_pipeline.ingest.api.encodings import (
    MAX_BODY_BYTES,
    RequestError,
    data_parameter,
    json_text,
)
from enrichment_pipeline.ingest.api.gather import Budget, Gatherer, OverloadedError, Reservation
from enrichment_pipeline.ingest.api.metrics import Metrics
from enrichment_pipeline.ingest.api.tokens import ProjectTokens, bearer, same_secret
from enrichment_pipeline.ingest.projects import PROJECT, PROJECT_RULE

SOURCE = "api"
WEBHOOK_SOURCE = "webhook"

ACKNOWLEDGE_SECONDS = 10
"""A request is told to come again when its commit takes longer. posthog-python waits 15 seconds."""

_RETRY_AFTER = "3"
# Decoding more than this would keep the event loop from everybody else for too long.
_DECODED_IN_A_THREAD = 1024 * 1024
_OK = b'{"status":"Ok"}'
_REQUEST_ID = "PostHog-Request-Id"

Route = Callable[[Request], Awaitable[Response]]


class _Named(msgspec.Struct):
    uuid: object = None


_named = msgspec.json.Decoder(_Named).decode


class Capture:
    """The routes, and what they share."""

    def __init__(
        self,
        tokens: ProjectTokens,
        webhook_secret: str | None,
        gatherer: Gatherer,
        budget: Budget,
        metrics: Metrics,
    ) -> None:
        self._tokens = tokens
        self._webhook_secret = webhook_secret
        self._gatherer = gatherer
        self._budget = budget
        self._metrics = metrics

    def v0(self, default_name: str | None = None) -> Route:
        """The route of `/e`, `/batch` and their like; `default_name` is the name of an event that
        has none."""

        async def route(request: Request) -> Response:
            arrival = datetime.now(UTC)

            def read(body: bytes) -> Sent:
                compression = request.query_params.get("compression", "")
                if request.method == "GET":
                    text = data_parameter(request.query_params.get("data", ""), compression)
                else:
                    text = json_text(body, *_headers(request), compression)
                return read_body(text)

            async def take(sent: Sent, reservation: Reservation) -> Response:
                sent_at = sent.sent_at or sent_at_parameter(request.query_params.get("_"))
                submission = Submission(
                    Kind(SOURCE, sent.historical),
                    self._tokens.project_of(sent.token),
                    sent.events,
                    Arrival(arrival, sent_at, default_name),
                )
                await self._committed(submission, reservation)
                # Beacons are the one case in which a browser looks for 204.
                if request.query_params.get("beacon") == "1":
                    return Response(status_code=204)
                return Response(_OK, media_type="application/json")

            return await self._answer(request, read, take)

        return route

    async def v1(self, request: Request) -> Response:
        """The route `/i/v1/analytics/events`, which answers for each event."""
        arrival = datetime.now(UTC)
        request_id = request.headers.get(_REQUEST_ID, "")

        def read(body: bytes) -> Sent:
            return read_body(json_text(body, *_headers(request), ""))

        async def take(sent: Sent, reservation: Reservation) -> Response:
            submission = Submission(
                Kind(SOURCE, sent.historical),
                self._tokens.project_of(bearer(request.headers.get("Authorization"))),
                sent.events,
                Arrival(arrival, parse_timestamp(request.headers.get("PostHog-Request-Timestamp"))),
            )
            verdicts = await self._committed(submission, reservation)
            results = msgspec.json.encode({"results": _results(submission, verdicts)})
            return Response(results, media_type="application/json")

        response = await self._answer(request, read, take)
        if request_id:
            response.headers[_REQUEST_ID] = request_id
        return response

    async def webhook(self, request: Request) -> Response:
        """The route `/webhook/{project}`, for PostHog's HTTP destination."""
        arrival = datetime.now(UTC)
        project = request.path_params["project"]

        def read(body: bytes) -> Sent:
            text = json_text(body, *_headers(request), "")
            return Sent([forwarded_event(text)], None, None, historical=False)

        async def take(sent: Sent, reservation: Reservation) -> Response:
            submission = Submission(Kind(WEBHOOK_SOURCE), project, sent.events, Arrival(arrival))
            await self._committed(submission, reservation)
            return Response(_OK, media_type="application/json")

        try:
            self._check_webhook(project, bearer(request.headers.get("Authorization")))
        except RequestError as error:
            return self._refused(error)
        return await self._answer(request, read, take)

    def _check_webhook(self, project: str, secret: str | None) -> None:
        if self._webhook_secret is None:
            raise RequestError(404, "no webhooks are taken; set ENRICHMENT_WEBHOOK_SECRET")
        if not same_secret(secret, self._webhook_secret):
            raise RequestError(401, "wrong secret; send it as Authorization: Bearer …")
        if not PROJECT.fullmatch(project):
            raise RequestError(400, f"a project {PROJECT_RULE}")

    async def _answer(
        self,
        request: Request,
        read: Callable[[bytes], Sent],
        take: Callable[[Sent, Reservation], Awaitable[Response]],
    ) -> Response:
        reservation = Reservation(self._budget)
        try:
            sent = await self._read(request, reservation, read)
            started = time.perf_counter()
            response = await take(sent, reservation)
        except RequestError as error:
            reservation.release()
            return self._refused(error)
        except OverloadedError:
            reservation.release()
            return self._later("overloaded")
        except _NotCommittedError:
            return self._later("the store does not answer")
        except ClientDisconnect:
            reservation.release()
            return Response(status_code=400)
        self._metrics.acknowledge.observe(time.perf_counter() - started)
        self._metrics.requests.labels(response.status_code).inc()
        return response

    async def _read(
        self, request: Request, reservation: Reservation, read: Callable[[bytes], Sent]
    ) -> Sent:
        """What the request sends. Its body is not kept beside its events: a request may wait for
        its commit for long."""
        body = await self._body(request, reservation)
        if len(body) < _DECODED_IN_A_THREAD:
            sent = read(body)
        else:
            sent = await run_in_threadpool(read, body)
        reservation.add(max(0, sum(map(len, sent.events)) - len(body)))
        return sent

    async def _body(self, request: Request, reservation: Reservation) -> bytes:
        told = request.headers.get("Content-Length", "")
        if told.isdecimal() and int(told) > MAX_BODY_BYTES:
            raise _too_large()
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise _too_large()
            reservation.add(len(chunk))
            chunks.append(chunk)
        self._metrics.bytes.inc(size)
        return b"".join(chunks)

    async def _committed(self, submission: Submission, reservation: Reservation) -> Verdicts:
        future = self._gatherer.submit(submission)
        # The memory is in use until the commit, whoever still waits for it.
        future.add_done_callback(lambda _: reservation.release())
        await asyncio.wait({future}, timeout=ACKNOWLEDGE_SECONDS)
        if not future.done() or future.exception():
            raise _NotCommittedError
        return future.result()

    def _refused(self, error: RequestError) -> Response:
        self._metrics.requests.labels(error.status).inc()
        return PlainTextResponse(str(error), error.status)

    def _later(self, why: str) -> Response:
        self._metrics.requests.labels(503).inc()
        return PlainTextResponse(f"{why}; try again", 503, {"Retry-After": _RETRY_AFTER})


class _NotCommittedError(Exception):
    """The store failed, or takes too long."""


def _too_large() -> RequestError:
    return RequestError(413, f"more than {MAX_BODY_BYTES:,} bytes")


def _headers(request: Request) -> tuple[str, str]:
    return request.headers.get("Content-Type", ""), request.headers.get("Content-Encoding", "")


def _results(submission: Submission, verdicts: Verdicts) -> dict[str, dict[str, str]]:
    """The answer for each event that says a uuid, under that uuid as the sender wrote it."""
    results: dict[str, dict[str, str]] = {}
    for payload, verdict in zip(submission.payloads, verdicts, strict=True):
        uuid = _uuid_as_sent(payload)
        if uuid is not None:
            results[uuid] = (
                {"result": "drop", "details": f"{verdict.reason}: {verdict.message}"}
                if verdict
                else {"result": "ok"}
            )
    return results


def _uuid_as_sent(payload: bytes) -> str | None:
    try:
        uuid = _named(payload).uuid
    except (msgspec.DecodeError, RecursionError):
        return None
    return uuid if isinstance(uuid, str) else None
