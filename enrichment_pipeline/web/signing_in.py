"""Who may read the pages: whoever signs in with the read token, or sends it as a header.

Nothing is kept here. The cookie says until when it is good, signed with the read token, so that
another token signs everybody out.
"""

import hmac
import re
import time
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from enrichment_pipeline.ingest.api.tokens import bearer, same_secret

COOKIE = "enrichment_pages"

_GOOD_FOR_SECONDS = 7 * 86_400
_MOST_BYTES = 10_000
_UNTIL = re.compile("[0-9]{1,12}")


class Readers:
    """Who may read."""

    def __init__(self, read_token: str) -> None:
        self._token = read_token

    @property
    def has_token(self) -> bool:
        """Whether anybody may read at all."""
        return bool(self._token)

    def may_read(self, request: Request) -> bool:
        """Whether this request comes from one of them."""
        if same_secret(bearer(request.headers.get("Authorization")), self._token):
            return True
        # The API lets the scripts of any page read its responses (CORS), and browsers send cookies
        # along from pages of the same host. Such a request names its origin; opening a page of ours
        # does not.
        return "Origin" not in request.headers and self._is_good(request.cookies.get(COOKIE))

    async def sign_in(self, request: Request) -> Response | None:
        """The way on for whoever sends the token with the form; None: it is another one."""
        sent = await _sent(request)
        if is_of_another_site(request) or not same_secret(sent.get("token"), self._token):
            return None
        response = RedirectResponse(local_path(sent.get("next")), 303)
        until = int(time.time()) + _GOOD_FOR_SECONDS
        response.set_cookie(
            COOKIE,
            self.cookie(until),
            max_age=_GOOD_FOR_SECONDS,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    def cookie(self, until: int) -> str:
        """The cookie that is good until then (Unix time)."""
        signed = hmac.digest(self._token.encode(), f"{COOKIE} {until}".encode(), "sha256")
        return f"{until}.{signed.hex()}"

    def _is_good(self, cookie: str | None) -> bool:
        written = _UNTIL.match(cookie or "")
        if written is None or not self.has_token:
            return False
        until = int(written[0])
        return same_secret(cookie, self.cookie(until)) and until > time.time()


def signed_out(request: Request) -> Response:
    """The way on for whoever signs out."""
    response = RedirectResponse("/", 303)
    if not is_of_another_site(request):
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


def is_of_another_site(request: Request) -> bool:
    """Whether a page of another site has led here, as far as the browser says so."""
    return request.headers.get("Sec-Fetch-Site") == "cross-site"


def local_path(wanted: str | None) -> str:
    """The wanted path if it is one of ours, else the first page: no form may lead elsewhere."""
    path = wanted or "/"
    is_ours = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if is_ours else "/"


async def _sent(request: Request) -> dict[str, str]:
    """The fields of a form; none of one that is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MOST_BYTES:
            return {}
    return {name: values[-1] for name, values in parse_qs(body.decode(errors="replace")).items()}
