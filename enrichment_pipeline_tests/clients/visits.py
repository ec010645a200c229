"""A web site that uses posthog-js, and the visits of its users in a real browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, Page, Request, Route

from enrichment_pipeline_tests.clients.serving import TOKEN, Api

_PAGES = Path(__file__).parent / "pages"
# Versions of posthog-js differ in whether they can be asked to send for a bot, too.
_USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
# Playwright does not see a beacon that leaves with its page; the next page of the site knows.
_NOTE_BEACONS = """
    const send = navigator.sendBeacon.bind(navigator);
    navigator.sendBeacon = (url, body) => {
        const taken = send(url, body);
        sessionStorage.setItem("beacon", taken ? url : "refused");
        return taken;
    };
"""


class _Pages(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served_site() -> Iterator[str]:
    """A web site, on another port than the API and so of another origin; gives its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, directory=_PAGES)) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


class Visit:
    """One user's visit: the page, and what went over the wire."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sent: list[Request] = []
        self.complaints: list[str] = []
        page.on("request", self._note)
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self._complain("error", str(error)))

    def _note(self, request: Request) -> None:
        if request.method == "POST":
            self.sent.append(request)

    def _complain(self, kind: str, what: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(what)


@contextmanager
def visiting(
    browser: Browser, api: Api, site: str, posthog_js: Path, script: str = ""
) -> Iterator[Visit]:
    """A new user on the shop's page, which uses posthog-js as npm installed it in this folder;
    `script` runs before all others."""
    context = browser.new_context(user_agent=_USER_AGENT)

    def serve_client(route: Route) -> None:
        """posthog-js from where npm put it: the API sends the browser to PostHog for it."""
        answer = route.fetch(max_redirects=0)
        file = urlsplit(route.request.url).path
        assert answer.status == 307
        assert answer.headers["location"] == f"https://us-assets.i.posthog.com{file}"
        assert answer.headers["access-control-allow-origin"] == site
        route.fulfill(
            path=posthog_js / "dist" / Path(file).name,
            content_type="text/javascript",
            headers={"Access-Control-Allow-Origin": site},
        )

    context.add_init_script(f"{_NOTE_BEACONS}{script}")
    context.route(f"{api.url}/static/**", serve_client)
    visit = Visit(context.new_page())
    visit.page.goto(f"{site}/shop.html?{urlencode({'api': api.url, 'token': TOKEN})}")
    yield visit
    context.close()
