"""`GET /v1/sessions/{id}/timeline`, `/v1/people/{id}/timeline` and `/v1/people/{id}`: what users
did, for an agent inside the product.

Authorization belongs to the API, which serves it; the answer to `sessions` and `rendering`.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import anyio
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from enrichment_pipeline.llm.person import person_report
from enrichment_pipeline.llm.person_forms import write_person
from enrichment_pipeline.llm.rendering import Form, render
from enrichment_pipeline.llm.sessions import SessionNotFoundError, newest_timeline_of, timeline_of
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreUnavailableError

Handler = Callable[[Request], Awaitable[Response]]
# Writes what was read, in a form and within a number of tokens.
_Write = Callable[[Form, int | None], str]

# Few at once: incoming events have priority in the store.
_AT_ONCE = 4
_SECONDS = 5

_TYPES: Mapping[str, Form] = {
    "text/plain": "text",
    "text/markdown": "markdown",
    "application/json": "json",
}
_FORMS = {form: f"{kind}; charset=utf-8" for kind, form in _TYPES.items()}
_ANY = ("*/*", "text/*", "")


def timeline_routes(store: Store) -> Mapping[str, Handler]:
    """The routes that return timelines, by path."""
    timelines = _Timelines(store)
    return {
        "/v1/sessions/{session_id:path}/timeline": timelines.of_session,
        "/v1/people/{distinct_id:path}/timeline": timelines.of_person,
        "/v1/people/{distinct_id:path}": timelines.of_all_sessions,
    }


class _Timelines:
    """The routes, and the store that they read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._limiter: anyio.CapacityLimiter | None = None

    async def of_session(self, request: Request) -> Response:
        """Return the session with this id."""
        return await self._answer(request, self._read_session, request.path_params["session_id"])

    async def of_person(self, request: Request) -> Response:
        """Return the newest session of the person who has this distinct_id."""
        return await self._answer(request, self._read_person, request.path_params["distinct_id"])

    async def of_all_sessions(self, request: Request) -> Response:
        """Return what the person who has this distinct_id did lately, over all sessions."""
        return await self._answer(request, self._read_all, request.path_params["distinct_id"])

    async def _answer(
        self, request: Request, read: Callable[[str, str | None], _Write], wanted: str
    ) -> Response:
        form = _form(request.headers.get("accept", ""))
        if form is None:
            return PlainTextResponse(f"this answers as {', '.join(_TYPES)}", 406)
        given = request.query_params.get("max_tokens")
        try:
            max_tokens = int(given) if given else None
        except ValueError:
            return PlainTextResponse(f"max_tokens={given!r} is no number", 400)
        # Created here, because it belongs to the event loop that serves.
        self._limiter = self._limiter or anyio.CapacityLimiter(_AT_ONCE)
        project = request.query_params.get("project")
        try:
            write = await anyio.to_thread.run_sync(read, wanted, project, limiter=self._limiter)
            body = await anyio.to_thread.run_sync(write, form, max_tokens)
        except SessionNotFoundError as error:
            return PlainTextResponse(str(error), 404)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        except (StoreUnavailableError, DBAPIError):
            return PlainTextResponse(
                "the store does not answer in time; try again", 503, {"Retry-After": "5"}
            )
        headers = {"Content-Type": _FORMS[form], "Cache-Control": "no-store", "Vary": "Accept"}
        return Response(body, headers=headers)

    def _read_session(self, session_id: str, project: str | None) -> _Write:
        with self._store.bounded(_SECONDS) as connection:
            return partial(render, timeline_of(connection, session_id, project=project))

    def _read_person(self, distinct_id: str, project: str | None) -> _Write:
        with self._store.bounded(_SECONDS) as connection:
            return partial(render, newest_timeline_of(connection, distinct_id, project=project))

    def _read_all(self, distinct_id: str, project: str | None) -> _Write:
        with self._store.bounded(_SECONDS) as connection:
            return partial(write_person, person_report(connection, distinct_id, project=project))


def _form(accept: str) -> Form | None:
    """The form that an Accept header prefers; None if it names none of ours."""
    wanted: list[tuple[float, int, Form]] = []
    for place, part in enumerate(accept.split(",")):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        form: Form | None = "text" if kind in _ANY else _TYPES.get(kind)
        if form is not None and (quality := _quality(parameters)) > 0:
            wanted.append((-quality, place, form))
    return min(wanted)[2] if wanted else None


def _quality(parameters: list[str]) -> float:
    quality = next((one[2:] for one in parameters if one.startswith("q=")), "1")
    try:
        return float(quality)
    except ValueError:
        return 0.0
