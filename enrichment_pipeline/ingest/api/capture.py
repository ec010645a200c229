"""The routes that take events: PostHog's v0 and v1, and events that PostHog forwards.

Each reads a request, passes its events to the micro-batcher, and responds after their commit.
PostHog defines which responses SDKs expect; see docs/reference/api.md.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool

from enrichment_pipeline.events.raw_event import Arrival
from enrichment_pipeline.events.text import readable_json
from enrichment_pipeline.events.times import read_time
from enrichment_pipeline.ingest.api.accept import Origin, Submission, Verdicts
from enrichment_pipeline.ingest.api.bodies import (
    Sent,
    forwarded_event,
    read_body,
    sent_at_parameter,
)
from enrichment_pipeline.ingest.api.cors import REQUEST_ID
from enrichment_pipeline.ingest.api.encodings import (
    MAX_BODY_BYTES,
    RequestError,
    TooLargeError,
    data_parameter,
    json_text,
)
from enrichment_pipeline.ingest.api.exchange import (
    NO_CONTENT,
    DisconnectedError,
    Request,
    Response,
    json_response,
    plain_response,
)
from enrichment_pipeline.ingest.api.metrics import Metrics
from enrichment_pipeline.ingest.api.micro_batch import (
    Budget,
    MicroBatcher,
    OverloadedError,
    Reservation,
)
from enrichment_pipeline.ingest.api.tokens import ProjectTokens, bearer, same_secret
from enrichment_pipeline.ingest.projects import PROJECT, PROJECT_RULE

SOURCE = "api"
WEBHOOK_SOURCE = "webhook"

ACKNOWLEDGE_SECONDS = 10
"""A request whose commit takes longer gets a 503 and is sent again. posthog-python waits 15 s."""

_RETRY_AFTER = b"3"
# The size of a body, in any of its forms, that is decoded in the event loop; more would block other
# requests for too long. A batch of a hundred events has half of it.
_DECODED_AT_ONCE = 512 * 1024
# Larger bodies that are decoded at the same time, each in a thread, and the memory that one may
# take: its text, and the events cut out of it.
_DECODED_IN_THREADS = 2
_DECODING_BYTES = 2 * MAX_BODY_BYTES
# Memory of a waiting event besides its payload: its object and its places in lists.
_EVENT_BYTES = 64
_REQUEST_ID = REQUEST_ID.lower().encode()
_OK = b'{"status":"Ok"}'

Route = Callable[[Request], Awaitable[Response]]
Read = Callable[[bytes, int], Sent]
"""Decodes a body; the number is the most bytes that it may have in any of its forms."""


class _Named(msgspec.Struct):
    uuid: msgspec.Raw = msgspec.Raw()


_named = msgspec.json.Decoder(_Named).decode
_string = msgspec.json.Decoder(str).decode


class Capture:
    """The routes, and the state that they share."""

    def __init__(
        self,
        tokens: ProjectTokens,
        webhook_secret: str | None,
        batcher: MicroBatcher,
        budget: Budget,
        metrics: Metrics,
    ) -> None:
        self._tokens = tokens
        self._webhook_secret = webhook_secret
        self._batcher = batcher
        self._budget = budget
        self._metrics = metrics
        self._by_status: dict[int, Counter] = {}
        self._decoding = asyncio.Semaphore(_DECODED_IN_THREADS)

    def v0(self, default_name: str | None = None) -> Route:
        """The route of `/e`, `/batch` and the like; `default_name` is the name of an event without
        one."""

        async def route(request: Request) -> Response:
            arrival = datetime.now(UTC)

            def read(body: bytes, most: int) -> Sent:
                compression = request.parameters.get("compression", "")
                if request.method == "GET":
                    text = data_parameter(request.parameters.get("data", ""), compression, most)
                else:
                    text = json_text(body, *_headers(request), compression, most)
                return read_body(text)

            async def take(sent: Sent, reservation: Reservation) -> Response:
                sent_at = (
                    sent.sent_at
                    or sent_at_parameter(request.parameters.get("sent_at"))
                    or sent_at_parameter(request.parameters.get("_"))
                )
                submission = Submission(
                    Origin(SOURCE, sent.historical),
                    self._tokens.project_of(sent.token),
                    sent.events,
                    Arrival(arrival, sent_at, default_name),
                )
                await self._committed(submission, reservation)
                return _ok(request)

            return await self._answer(request, read, take)

        return route

    async def v1(self, request: Request) -> Response:
        """The route `/i/v1/analytics/events`, which has a result for each event."""
        arrival = datetime.now(UTC)
        request_id = request.header(_REQUEST_ID)

        def read(body: bytes, most: int) -> Sent:
            return read_body(json_text(body, *_headers(request), "", most))

        async def take(sent: Sent, reservation: Reservation) -> Response:
            sent_at = read_time(request.header(b"posthog-request-timestamp")) or sent.sent_at
            submission = Submission(
                Origin(SOURCE, sent.historical), project, sent.events, Arrival(arrival, sent_at)
            )
            verdicts = await self._committed(submission, reservation)
            results = msgspec.json.encode({"results": _results(submission, verdicts)})
            return json_response(results)

        try:
            project = self._tokens.project_of(bearer(request.header(b"authorization")))
        except RequestError as error:
            response = self._refused(error)
        else:
            response = await self._answer(request, read, take)
        if request_id:
            response = response._replace(
                headers=[*response.headers, (_REQUEST_ID, request_id.encode("latin-1"))]
            )
        return response

    async def recording(self, request: Request) -> Response:
        """The route `/s`: recordings of sessions are no events; they are left out, and counted."""

        def read(_body: bytes, _most: int) -> Sent:
            return Sent((), None, None, historical=False)

        async def take(_: Sent, reservation: Reservation) -> Response:
            reservation.release()
            self._metrics.recordings.inc()
            return _ok(request)

        return await self._answer(request, read, take)

    async def webhook(self, request: Request) -> Response:
        """The route `/webhook/{project}`, for PostHog's HTTP destination."""
        arrival = datetime.now(UTC)
        project = request.path_parameters["project"]

        def read(body: bytes, most: int) -> Sent:
            text = json_text(body, *_headers(request), "", most)
            return Sent([forwarded_event(text)], None, None, historical=False)

        async def take(sent: Sent, reservation: Reservation) -> Response:
            submission = Submission(
                Origin(WEBHOOK_SOURCE), project, sent.events, Arrival(arrival, is_recorded=True)
            )
            await self._committed(submission, reservation)
            return json_response(_OK)

        try:
            self._check_webhook(project, bearer(request.header(b"authorization")))
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
        read: Read,
        take: Callable[[Sent, Reservation], Awaitable[Response]],
    ) -> Response:
        reservation = Reservation(self._budget)
        try:
            sent = await self._read(request, reservation, read)
            response = await take(sent, reservation)
        except RequestError as error:
            reservation.release()
            return self._refused(error)
        except OverloadedError:
            reservation.release()
            return self._later("overloaded")
        except _NotCommittedError:
            return self._later("the store does not answer")
        except DisconnectedError:
            reservation.release()
            return plain_response(400, "the body is not whole")
        self._count(response.status)
        return response

    async def _read(self, request: Request, reservation: Reservation, read: Read) -> Sent:
        """The events of the request. The body is not kept beside them, because a request may wait
        long for its commit."""
        body = await request.body(reservation.add)
        self._metrics.bytes.inc(len(body))
        try:
            sent = read(body, _DECODED_AT_ONCE)
        except TooLargeError:
            sent = await self._read_in_a_thread(body, reservation, read)
        reservation.add(max(0, size_of(sent) - len(body)))
        return sent

    async def _read_in_a_thread(self, body: bytes, reservation: Reservation, read: Read) -> Sent:
        try:
            await asyncio.wait_for(self._decoding.acquire(), ACKNOWLEDGE_SECONDS)
        except TimeoutError as error:
            raise OverloadedError from error
        try:
            reservation.add(_DECODING_BYTES)
            try:
                return await run_in_threadpool(read, body, MAX_BODY_BYTES)
            finally:
                reservation.give_back(_DECODING_BYTES)
        finally:
            self._decoding.release()

    async def _committed(self, submission: Submission, reservation: Reservation) -> Verdicts:
        started = time.perf_counter()
        # The memory is in use until the commit, even if nobody waits for it any more.
        future = self._batcher.submit(submission, reservation.release)
        loop = asyncio.get_running_loop()
        too_late = loop.call_later(ACKNOWLEDGE_SECONDS, _give_up, future)
        try:
            verdicts = await future
        except Exception as error:
            raise _NotCommittedError from error
        finally:
            too_late.cancel()
        self._metrics.acknowledge.observe(time.perf_counter() - started)
        return verdicts

    def _count(self, status: int) -> None:
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._metrics.requests.labels(status)
        counter.inc()

    def _refused(self, error: RequestError) -> Response:
        self._count(error.status)
        return plain_response(error.status, str(error))

    def _later(self, why: str) -> Response:
        self._count(503)
        return plain_response(503, f"{why}; try again", [(b"retry-after", _RETRY_AFTER)])


class _NotCommittedError(Exception):
    """The events are not committed: the store failed, or takes too long."""


def _give_up(future: asyncio.Future[Verdicts]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def size_of(sent: Sent) -> int:
    """The memory that the events of a request take while they wait."""
    return sum(map(len, sent.events)) + _EVENT_BYTES * len(sent.events)


def _ok(request: Request) -> Response:
    # Only for beacons do browsers expect 204.
    if request.parameters.get("beacon") == "1":
        return NO_CONTENT
    return json_response(_OK)


def _headers(request: Request) -> tuple[str, str]:
    return request.header(b"content-type"), request.header(b"content-encoding")


def _results(submission: Submission, verdicts: Verdicts) -> dict[str, dict[str, str]]:
    """The result of each event with a uuid, under that uuid as the sender wrote it; of two events
    with the same uuid, what was wrong with either."""
    results: dict[str, dict[str, str]] = {}
    for payload, verdict in zip(submission.payloads, verdicts, strict=True):
        uuid = _uuid_as_sent(payload)
        if uuid is not None and verdict:
            results[uuid] = {"result": "drop", "details": f"{verdict.reason}: {verdict.message}"}
        elif uuid is not None:
            results.setdefault(uuid, {"result": "ok"})
    return results


def _uuid_as_sent(payload: bytes) -> str | None:
    try:
        uuid = _named(readable_json(payload)).uuid
        return _string(uuid) if uuid else None
    except (ValueError, RecursionError):
        return None
