"""The CORS headers, and the way of requests that take events past the framework.

A page's token decides whether it may send; the origin is mirrored, because a browser that sends
credentials takes no star. So are all headers that a page wants to send. `Retry-After` is exposed,
because posthog-js reads it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "PostHog-Request-Id"
"""The header that a response of v1 echoes."""

_EXPOSED = ("Retry-After", REQUEST_ID)
_DAY_SECONDS = 86_400

# What the middleware adds to a response that is no preflight.
_VARY = (b"vary", b"Origin")
_TO_PAGES = (
    (b"access-control-allow-credentials", b"true"),
    (b"access-control-expose-headers", ", ".join(_EXPOSED).encode()),
)


def for_pages_of_any_origin() -> Middleware:
    """The middleware of the framework."""
    return Middleware(
        CORSMiddleware,
        allow_origin_regex=".*",
        allow_credentials=True,
        allow_methods=["GET", "POST", "OPTIONS"],
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=_EXPOSED,
        max_age=_DAY_SECONDS,
    )


class Application(Starlette):
    """A framework's application, but POST requests to the paths of `direct` skip the framework: its
    middleware and its routing take several times as long as a request with one event."""

    direct: Mapping[str, ASGIApp] = MappingProxyType({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            endpoint = self.direct.get(scope["path"])
            if endpoint:
                await endpoint(scope, receive, _with_headers(scope, send))
                return
        await super().__call__(scope, receive, send)


def _with_headers(scope: Scope, send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message["headers"]
            headers.append(_VARY)
            for name, value in scope["headers"]:
                if name == b"origin":
                    headers.extend(((b"access-control-allow-origin", value), *_TO_PAGES))
                    break
        await send(message)

    return sender
