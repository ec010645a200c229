"""PostHog's query API: reading the events of a window, page by page.

This module makes the queries and reads the responses; storing the events belongs to `pull`. As
documented at https://posthog.com/docs/api/queries: at most 50,000 rows a query, 2,400 queries an
hour (120 for some), three at once, 10 seconds each; no OFFSET, but pages by the last event.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Self, TypeVar
from uuid import UUID

import httpx
import msgspec
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from enrichment_pipeline.events.text import read_json, valid_json
from enrichment_pipeline.events.times import parse_timestamp
from enrichment_pipeline.file_systems import one_line
from enrichment_pipeline.ingest.file_records import FileRecord
from enrichment_pipeline.ingest.pull.errors import (
    PullAwayError,
    PullError,
    PullRefusedError,
    PullThrottledError,
)
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.ingest.pulled import Position

T = TypeVar("T")

SOURCE = "query_api"

PAGE_EVENTS = 10_000
"""Events of a page, which becomes one commit: some 30 MB, all of them in memory."""

FEWEST_EVENTS = 100
"""Events of a page, after larger pages were too much for PostHog, or for us."""

MOST_BYTES = 256 * 1024 * 1024
"""Bytes of a page; where events are longer, fewer are requested."""

TRIES = 6
"""Tries for one page, before the pull gives up."""

FIRST_WAIT = 2.0
"""The most seconds before the second try; doubled for each further one."""

LONGEST_WAIT = 300.0
"""The longest wait in seconds; if PostHog asks for more, the pull ends, and the next goes on."""

_EARLIEST_WAIT = 0.05
_TIMEOUT = httpx.Timeout(120, connect=10)  # a query may wait 30 s in PostHog before it begins
_SHOWN_BYTES = 300

# With a zone: a bare timestamp comes in the zone of the project. As text: an encoder in between may
# cut it to milliseconds, and the next page would begin with the same events.
_TIMESTAMP = "formatDateTime(timestamp, '%Y-%m-%d %H:%i:%S.%f', 'UTC')"
_COLUMNS = ("uuid", "event", "distinct_id", "occurred_at", "properties", "elements_chain")
# A UUID as text, because ClickHouse sorts the type by its second half first.
_QUERY = f"""
SELECT toString(uuid) AS uuid_text, event, distinct_id, {_TIMESTAMP} AS occurred_at, properties,
    elements_chain
FROM events
WHERE timestamp >= {{start}} AND timestamp < {{end}}{{behind}}
ORDER BY timestamp, toString(uuid)
LIMIT {{limit}}
"""  # noqa: S608  put together from what this module writes itself


_COUNT = """
SELECT count() FROM events WHERE timestamp >= {start} AND timestamp < {end}
"""


class Page(NamedTuple):
    """Some events of a window, in order; PostHog decides how many, up to the requested number."""

    records: list[FileRecord]
    last: Position | None
    """The position of the last event; None where there are no events behind the requested one."""


class _UnansweredError(PullError):
    """A try failed, and another may succeed."""

    def __init__(self, message: str, *, retry_after: float | None = None, smaller: bool) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds that PostHog asks to wait; None where it does not say."""
        self.smaller = smaller
        """Whether a smaller page may succeed."""


def project_url(settings: Settings) -> str:
    """The URL of the project's API, which also identifies the project in the store."""
    return f"{settings.posthog_url}/api/projects/{settings.posthog_project_id}"


class QueryApi:
    """One project of one PostHog, open for queries."""

    def __init__(self, settings: Settings) -> None:
        key = settings.posthog_api_key
        self.source = project_url(settings)
        self._limit = PAGE_EVENTS
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {key.get_secret_value() if key else ''}"},
            timeout=_TIMEOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def page(self, start: datetime, end: datetime, after: Position | None) -> Page:
        """The first events from `start` up to `end` (not included), behind `after`.

        Waits as long as PostHog asks, and retries transient failures.

        Raises:
            PullRefusedError: PostHog refuses the settings.
            PullThrottledError: PostHog asks for a pause longer than `LONGEST_WAIT`.
            PullAwayError: PostHog could not be reached in `TRIES` tries.
            PullError: PostHog did not answer this query in `TRIES` tries; another may succeed.
        """
        return self._answered(lambda: self._try_page(start, end, after))

    def count(self, start: datetime, end: datetime) -> int:
        """How many events PostHog has from `start` up to `end`, by its own count.

        Raises:
            PullError: as `page`.
        """
        query = _COUNT.format(start=_moment(start), end=_moment(end))
        return self._answered(lambda: _count(self._ask(query)))

    def _answered(self, ask: Callable[[], T]) -> T:
        retrying = Retrying(
            retry=retry_if_exception_type(_UnansweredError),
            wait=_wait,
            stop=stop_after_attempt(TRIES),
            reraise=True,
        )
        try:
            return retrying(ask)
        except _UnansweredError as error:
            # A page that was too large for this window may not be for the next.
            self._limit = PAGE_EVENTS
            kind = PullError if error.smaller else PullAwayError
            raise kind(f"{self.source}: {error}, {TRIES} times; try later") from error

    def _try_page(self, start: datetime, end: datetime, after: Position | None) -> Page:
        limit = self._limit
        try:
            return _page(self._ask(_query(start, end, after, limit)), after)
        except _UnansweredError as error:
            if error.smaller:
                # Smaller pages for the rest of this pull, or until a query is given up.
                self._limit = max(limit // 2, FEWEST_EVENTS)
            raise

    def _ask(self, query: str) -> bytes:
        body = {
            "query": {"kind": "HogQLQuery", "query": query},
            # PostHog caches results for long, and an open window has more events each time.
            "refresh": "force_blocking",
            "name": "enrichment-pipeline pull",
        }
        try:
            with self._client.stream("POST", f"{self.source}/query/", json=body) as answer:
                content = _content(answer)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _UnansweredError(f"no connection: {one_line(error)}", smaller=False) from error
        except httpx.RequestError as error:
            # Includes a response that is cut off. The page may have taken more than the time limit.
            reason = one_line(error) or type(error).__name__
            raise _UnansweredError(f"no whole answer: {reason}", smaller=True) from error
        if answer.status_code != httpx.codes.OK:
            raise self._refusal(answer, content)
        return content

    def _refusal(self, answer: httpx.Response, content: bytes) -> PullError:
        """The error for a response that is no page."""
        status = answer.status_code
        detail = _detail(content) or answer.reason_phrase
        line = f"{self.source} answers {status}: {detail}"
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return self._throttled(answer, detail)
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            return PullRefusedError(
                f"{line}; set ENRICHMENT_POSTHOG_API_KEY to a key of that project with query:read"
            )
        if status == httpx.codes.NOT_FOUND:
            return PullRefusedError(
                f"{line}; check ENRICHMENT_POSTHOG_PROJECT_ID and ENRICHMENT_POSTHOG_URL"
            )
        if answer.is_redirect:
            elsewhere = answer.headers.get("location", "elsewhere")
            return PullRefusedError(f"{line}; it leads to {elsewhere}: set ENRICHMENT_POSTHOG_URL")
        if answer.is_server_error or answer.is_success or status == httpx.codes.REQUEST_TIMEOUT:
            after = _retry_after(answer)
            return _UnansweredError(f"answers {status}: {detail}", retry_after=after, smaller=True)
        return PullRefusedError(f"{line}; it does not take the query of ENRICHMENT_POSTHOG_URL")

    def _throttled(self, answer: httpx.Response, detail: str) -> PullError:
        after = _retry_after(answer)
        if after is not None and after > LONGEST_WAIT:
            return PullThrottledError(
                f"{self.source}: the rate limit is used up for {after:.0f} s; pull again then, "
                "it goes on where it is"
            )
        reason = f"the rate limit is used up: {detail}"
        return _UnansweredError(reason, retry_after=after, smaller=False)


def _content(answer: httpx.Response) -> bytes:
    content = bytearray()
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > MOST_BYTES:
            raise _UnansweredError(f"a page of more than {MOST_BYTES:,} bytes", smaller=True)
    return bytes(content)


def _wait(state: RetryCallState) -> float:
    """Seconds until the next try: what PostHog asks for and a little more, so that not all clients
    return at once; without that, longer each time."""
    backoff = wait_random_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT)(state)
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, _UnansweredError) else None
    if asked is None:
        return max(backoff, _EARLIEST_WAIT)
    return min(asked, LONGEST_WAIT) + min(backoff, 1.0)


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the response asks to wait, as a number or as a time."""
    header = answer.headers.get("retry-after", "")
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):  # TypeError: a time without a zone
        return None


def _detail(content: bytes) -> str:
    """PostHog's explanation of an error: `detail` of its JSON, else the beginning of the text."""
    try:
        fields = msgspec.json.decode(content)
    except ValueError:
        fields = None
    if isinstance(fields, dict) and isinstance(fields.get("detail"), str):
        return " ".join(str(fields["detail"]).split())[:_SHOWN_BYTES]
    return " ".join(content[:_SHOWN_BYTES].decode(errors="replace").split())


def _query(start: datetime, end: datetime, after: Position | None, limit: int) -> str:
    behind = ""
    if after is not None:
        moment = _moment(after.timestamp)
        start = max(start, after.timestamp)
        # UUID() rejects text that could change the query.
        behind = f" AND (timestamp > {moment} OR toString(uuid) > '{UUID(after.uuid)}')"
    return _QUERY.format(start=_moment(start), end=_moment(end), behind=behind, limit=limit)


def _moment(moment: datetime) -> str:
    return f"toDateTime64('{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}', 6, 'UTC')"


def _count(content: bytes) -> int:
    try:
        [[count]] = _rows(msgspec.json.decode(content))
        return int(count)
    except (ValueError, TypeError) as error:
        raise _UnansweredError(f"answers what is no count: {one_line(error)}", smaller=True) from (
            error
        )


def _page(content: bytes, after: Position | None) -> Page:
    try:
        rows = _rows(read_json(content))
        events = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
        last = _position(events[-1]) if events else None
        records = [FileRecord(_payload(event), number) for number, event in enumerate(events, 1)]
    except (ValueError, TypeError) as error:
        # Half a page, or a proxy's page. Nothing of it is used: its last event is not known.
        # It is not quoted: it may hold people's events, which do not belong into a message.
        reason = f"answers what is no page of events: {one_line(error)}"
        raise _UnansweredError(reason, smaller=True) from error
    if last is not None and after is not None and last <= after:
        # The query behind this page's last event would return the same page for ever.
        raise PullError("PostHog answers with events that are not behind those it was asked for")
    return Page(records, last)


def _rows(answer: object) -> Sequence[Sequence[Any]]:
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        raise TypeError("no results")
    if answer.get("error"):
        raise TypeError(f"an error: {answer['error']}")
    rows: list[Any] = answer["results"]
    if not all(isinstance(row, list) for row in rows):
        raise TypeError("a result is no row")
    return rows


def _position(event: dict[str, Any]) -> Position:
    moment = parse_timestamp(event["occurred_at"])
    if moment is None:
        raise ValueError(f"{event['occurred_at']!r} is no timestamp")
    return Position(moment, str(UUID(event["uuid"])))


def _payload(event: dict[str, Any]) -> bytes:
    """The JSON of an event, as an export has it."""
    moment = parse_timestamp(event["occurred_at"])
    properties = event["properties"]
    return msgspec.json.encode(
        {
            "uuid": event["uuid"],
            "event": event["event"],
            "distinct_id": event["distinct_id"],
            # A value that is no time is passed on, so that this event alone is quarantined.
            "timestamp": moment.isoformat() if moment else event["occurred_at"],
            "properties": _json(properties) if isinstance(properties, str) else properties,
            **({"elements_chain": event["elements_chain"]} if event["elements_chain"] else {}),
        }
    )


def _json(text: str) -> object:
    """The value of a column that holds JSON as text. The text itself goes into the event, so its
    numbers stay as they were; where it is no JSON, that event alone is quarantined."""
    try:
        return valid_json(text) if text else None
    except (ValueError, RecursionError):
        return text
