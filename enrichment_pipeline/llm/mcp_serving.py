"""Serving MCP: on standard input and output, or over streamable HTTP to clients with the token.

The tools belong to `mcp_server`.
"""

import socket
from collections.abc import Callable, Sequence

import psutil
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from enrichment_pipeline.llm.mcp_server import make_server
from enrichment_pipeline.store.database.engine import Store

PATH = "/mcp"

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  compared, not listened on
_STOP_SECONDS = 5


def serve_stdio(store: Store) -> None:
    """Speak MCP on standard input and output until the input ends."""
    make_server(store).run("stdio")


def serve_http(
    store: Store,
    may_read: Callable[[str | None], bool],
    host: str,
    port: int,
    other_names: Sequence[str] = (),
) -> None:
    """Serve MCP over streamable HTTP until SIGINT or SIGTERM; `may_read` checks each request's
    Authorization header, `other_names` are the host names of a proxy in front."""
    app = http_app(store, may_read, host, port, other_names)
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


def http_app(
    store: Store,
    may_read: Callable[[str | None], bool],
    host: str,
    port: int,
    other_names: Sequence[str] = (),
) -> Starlette:
    """The application behind `serve_http`."""
    app = make_server(store).streamable_http_app(
        streamable_http_path=PATH,
        # Each request is independent: any number of servers can share one address.
        stateless_http=True,
        json_response=True,
        transport_security=_known_names(host, port, other_names),
    )
    app.user_middleware.insert(0, Middleware(_Token, may_read=may_read))
    return app


def _known_names(host: str, port: int, other_names: Sequence[str]) -> TransportSecuritySettings:
    """The allowed host names of this server, against DNS rebinding: a foreign page whose name
    resolves to this machine would send that name."""
    own = {"127.0.0.1", "localhost", "[::1]", _in_url(host)}
    if host in _EVERYWHERE:
        own |= {socket.gethostname(), *map(_in_url, _addresses())}
    hosts = [f"{name}:{port}" for name in own]
    # The port of a proxy is not known here.
    others = [f"{name}{any_port}" for name in other_names for any_port in ("", ":*")]
    return TransportSecuritySettings(
        allowed_hosts=[*hosts, *others],
        allowed_origins=[
            *(f"http://{name}" for name in [*hosts, *others]),
            *(f"https://{name}" for name in others),
        ],
    )


def _addresses() -> set[str]:
    return {
        one.address.partition("%")[0]
        for held in psutil.net_if_addrs().values()
        for one in held
        if one.family in (socket.AF_INET, socket.AF_INET6)
    }


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class _Token:
    """Passes on requests that have the token."""

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
