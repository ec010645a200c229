"""Serving MCP: on standard input and output, or over streamable HTTP to who has the token.

The tools belong to `mcp_server`.
"""

from collections.abc import Callable

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from enrichment_pipeline.llm.mcp_server import make_server
from enrichment_pipeline.store.engine import Store

PATH = "/mcp"


def serve_stdio(store: Store) -> None:
    """Speak MCP on standard input and output until the input ends."""
    make_server(store).run("stdio")


def serve_http(store: Store, may_read: Callable[[str | None], bool], host: str, port: int) -> None:
    """Serve MCP over streamable HTTP until SIGINT or SIGTERM; `may_read` is asked of each
    request's Authorization header."""
    app = http_app(store, may_read, host, port)
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)


def http_app(
    store: Store, may_read: Callable[[str | None], bool], host: str, port: int
) -> Starlette:
    """The application behind `serve_http`."""
    names = {host, "127.0.0.1", "localhost", "[::1]"}
    app = make_server(store).streamable_http_app(
        streamable_http_path=PATH,
        # Each request stands for itself: any number of servers can stand behind one address.
        stateless_http=True,
        json_response=True,
        transport_security=TransportSecuritySettings(
            allowed_hosts=[f"{name}:{port}" for name in names],
            allowed_origins=[f"http://{name}:{port}" for name in names],
        ),
    )
    app.user_middleware.insert(0, Middleware(_Token, may_read=may_read))
    return app


class _Token:
    """Lets through who has the token."""

    def __init__(self, app: ASGIApp, may_read: Callable[[str | None], bool]) -> None:
        self._app = app
        self._may_read = may_read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on or refuse one request."""
        if scope["type"] == "http" and not self._may_read(
            Request(scope).headers.get("authorization")
        ):
            refusal = PlainTextResponse(
                "the read token is needed, as Authorization: Bearer …",
                401,
                {"WWW-Authenticate": "Bearer"},
            )
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)
