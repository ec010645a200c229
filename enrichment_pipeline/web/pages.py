"""The routes of the pages: who may read, how a page is made, and what becomes of errors.

What a page shows belongs to `sessions`, `numbers` and `trouble`.
"""

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy.exc import DBAPIError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from enrichment_pipeline.ingest.api.status import not_for_you, wants_html
from enrichment_pipeline.llm.unanswered import unanswered
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.web import numbers, sessions, trouble
from enrichment_pipeline.web.given import Given, link
from enrichment_pipeline.web.shown import SECONDS, Elsewhere, Page
from enrichment_pipeline.web.signing_in import Readers, is_of_another_site, local_path, signed_out
from enrichment_pipeline.wording import UserError

Handler = Callable[[Request], Awaitable[Response]]

# Few at once: incoming events have priority in the store.
_AT_ONCE = 4
_HERE = Path(__file__).parent
_STYLE = (_HERE / "page.css").read_bytes()
_STYLE_PATH = "/page.css"
_YEAR_SECONDS = 365 * 86_400

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_MENU = (
    ("/", "Sessions"),
    ("/count", "Counts"),
    ("/funnel", "Funnel"),
    ("/paths", "Paths"),
    ("/compare", "Compare"),
    ("/retention", "Retention"),
    ("/errors", "Errors"),
    ("/dead-letters", "Dead letters"),
)
_WRONG_TOKEN = "This is not the read token."  # noqa: S105  a sentence


class Pages:
    """The pages over a store, for whoever has the read token."""

    def __init__(self, store: Store, read_token: str) -> None:
        self._store = store
        self._readers = Readers(read_token)
        self._limiter: anyio.CapacityLimiter | None = None
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        style = hashlib.sha256(_STYLE).hexdigest()[:12]
        self._templates.globals |= {"menu": _MENU, "style": link(_STYLE_PATH, version=style)}
        self._home = self._page(sessions.sessions, sessions.FILTERS)
        self.routes = [
            self._route("/sessions/{session_id:path}", sessions.session, sessions.OF_SESSION),
            self._route("/people/{person:path}", sessions.person, sessions.OF_PERSON),
            self._route("/go", sessions.go, ("to",)),
            self._route("/count", numbers.count, numbers.OF_COUNT),
            self._route("/funnel", numbers.funnel, numbers.OF_FUNNEL),
            self._route("/paths", numbers.paths, numbers.OF_PATHS),
            self._route("/compare", numbers.compare, numbers.OF_COMPARE),
            self._route("/retention", numbers.retention, numbers.OF_RETENTION),
            self._route("/errors", trouble.errors, trouble.OF_ERRORS),
            self._route("/dead-letters", trouble.dead_letters, trouble.OF_LETTERS),
            Route("/sign-in", self._sign_in, methods=["GET", "POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route(_STYLE_PATH, self._style),
        ]

    async def home(self, request: Request) -> Response:
        """The list of sessions; for whoever is not signed in, the form to do so."""
        return await self._home(request)

    def _route(self, path: str, page: Page, known: tuple[str, ...]) -> Route:
        return Route(path, self._page(page, known))

    def _page(self, page: Page, known: tuple[str, ...]) -> Handler:
        async def handle(request: Request) -> Response:
            if not self._readers.may_read(request):
                return self._not_signed_in(request)
            # Made here, because it belongs to the event loop that serves.
            self._limiter = self._limiter or anyio.CapacityLimiter(_AT_ONCE)
            make = partial(self._made, page, known, request)
            return await anyio.to_thread.run_sync(make, limiter=self._limiter)

        return handle

    def _made(self, page: Page, known: tuple[str, ...], request: Request) -> Response:
        """The page, or why there is none."""
        try:
            shown = page(self._store, Given(request, *known))
        except (UserError, DBAPIError) as error:
            found = unanswered(error, "this page", SECONDS)
            if found is None:
                raise
            return self._response("refused.html", found.status, request, why=found.why)
        if isinstance(shown, Elsewhere):
            return RedirectResponse(shown.link, 303, _HEADERS)
        return self._response(shown.template, 200, request, **shown.facts)

    def _response(self, template: str, status: int, request: Request, **facts: object) -> Response:
        written = self._templates.get_template(template).render(here=request.url.path, **facts)
        return HTMLResponse(written, status, _HEADERS)

    def _not_signed_in(self, request: Request) -> Response:
        if not wants_html(request):
            return not_for_you()
        path = link(request.url.path, dict(request.query_params.multi_items()))
        if is_of_another_site(request):
            # A link of another page led here. Only what our own pages ask for has the cookie.
            return self._response("again.html", 200, request, path=path)
        if request.url.path != "/":
            return RedirectResponse(link("/sign-in", next=path), 303, _HEADERS)
        return self._form(request, path)

    async def _sign_in(self, request: Request) -> Response:
        if request.method != "POST":
            return self._form(request, local_path(request.query_params.get("next")))
        response = await self._readers.sign_in(request)
        if response is None:
            return self._form(request, "/", 401, _WRONG_TOKEN)
        response.headers.update(_HEADERS)
        return response

    def _form(self, request: Request, path: str, status: int = 200, wrong: str = "") -> Response:
        has_token = self._readers.has_token
        facts = {"next": path, "wrong": wrong, "has_token": has_token}
        return self._response("sign_in.html", status, request, **facts)

    async def _sign_out(self, request: Request) -> Response:
        response = signed_out(request)
        response.headers.update(_HEADERS)
        return response

    async def _style(self, _: Request) -> Response:
        cache = {"Cache-Control": f"public, max-age={_YEAR_SECONDS}, immutable"}
        return Response(_STYLE, headers=_HEADERS | cache, media_type="text/css")
