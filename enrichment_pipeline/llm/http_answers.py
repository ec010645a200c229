"""How a reading route answers: in the form that is accepted, few at once, errors in one line.

What is read belongs to the routes. Authorization belongs to the API, which serves them.
"""

from collections.abc import Awaitable, Callable, Mapping

import anyio
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from enrichment_pipeline.llm.forms import Form
from enrichment_pipeline.llm.sessions import SessionNotFoundError
from enrichment_pipeline.store.database.errors import (
    StoreUnavailableError,
    blames_data,
    first_line,
)
from enrichment_pipeline.store.reading.as_reader import took_too_long
from enrichment_pipeline.wording import UserError

Handler = Callable[[Request], Awaitable[Response]]

Write = Callable[[Form, int | None], str]
"""Writes what was read, in a form and within a number of tokens."""

# Few at once: incoming events have priority in the store.
_AT_ONCE = 4

_TYPES: Mapping[str, Form] = {
    "text/plain": "text",
    "text/markdown": "markdown",
    "application/json": "json",
}
_FORMS = {form: f"{kind}; charset=utf-8" for kind, form in _TYPES.items()}
_ANY = ("*/*", "text/*", "")


class Answering:
    """Answers requests, with a common limit on how many at once."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    async def answer(self, request: Request, read: Callable[[], Write]) -> Response:
        """The response with what `read` reads."""
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
        try:
            write = await anyio.to_thread.run_sync(read, limiter=self._limiter)
            body = await anyio.to_thread.run_sync(write, form, max_tokens)
        except (UserError, ValueError, DBAPIError) as error:
            return _refusal(error)
        headers = {"Content-Type": _FORMS[form], "Cache-Control": "no-store", "Vary": "Accept"}
        return Response(body, headers=headers)


def _refusal(error: Exception) -> Response:
    if isinstance(error, SessionNotFoundError):
        return PlainTextResponse(str(error), 404)
    if isinstance(error, DBAPIError) and blames_data(error):
        return PlainTextResponse(f"the store cannot take that: {first_line(error)}", 400)
    if isinstance(error, StoreUnavailableError | DBAPIError):
        narrower = ", or ask for less" if took_too_long(error) else ""
        return PlainTextResponse(
            f"the store does not answer in time; try again{narrower}", 503, {"Retry-After": "5"}
        )
    return PlainTextResponse(str(error), 400)


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
