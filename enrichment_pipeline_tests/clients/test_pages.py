"""The pages for people in a real browser: by keyboard, on a phone, dark, and as axe judges them.

`make screenshots` runs this too, and puts what a person saw into docs/images.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.ingest.sample.sample import sample_events
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline_tests.clients.visits import served_site
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import NAME, take_in
from enrichment_pipeline_tests.served import served_by_a_thread

_TOKEN = "reader"
_EVENING = datetime(2026, 3, 2, 18, tzinfo=UTC)
_DESKTOP, _PHONE = (1200, 860), (360, 740)
_FUNNEL = "/funnel?step=/products&step=/cart&step=/checkout"
_PAGES = (
    *("/", "/?signal=rage_click", "/sessions/s23", "/people/p5", "/sessions/nobody"),
    *("/count?by=page", "/count?by=hour", _FUNNEL, "/funnel", "/paths", "/paths?step=/products"),
    "/count?by=page&start=2026-03-02T15:00&compare_to=previous",
    *("/compare?step=signal=rage_click", "/retention?every=day", "/errors", "/dead-letters"),
)

Scheme = Literal["light", "dark"]
Shot = Callable[[Page, str], None]


@pytest.fixture
def site(store: Store, settings: Settings, rules: Rules) -> Iterator[str]:
    """The API with the demo's sample, an error and two dead letters."""
    take_in(store, rules, list(sample_events(_EVENING)))
    broken = [{"type": "TypeError", "value": "cannot read the total of order 41"}]
    properties = {NAME: "broken", "$exception_list": broken, "$browser": "Firefox"}
    at = _EVENING + timedelta(minutes=30)
    take_in(store, rules, [make_event("$exception", at, properties=properties)])
    build_day(store, _EVENING.date(), is_whole=True)
    letters = [
        RejectedEvent("default", reason, "refused", reason.encode(), _EVENING)
        for reason in (RejectionReason.INVALID_JSON, RejectionReason.REFUSED_BY_STORE)
    ]
    load_events(store, [], letters, "test")
    known = settings.model_copy(update={"read_token": SecretStr(_TOKEN)})
    with served_by_a_thread(store, known) as url:
        yield url


class Visit:
    """A page, and what went on in it."""

    def __init__(self, page: Page, site: str) -> None:
        self.page = page
        self.site = site
        self.asked: set[str] = set()
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.add(urlsplit(request.url).netloc))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str) -> None:
        self.page.goto(f"{self.site}{path}")

    def sign_in(self) -> None:
        self.open("/")
        expect(self.page.get_by_label("Read token")).to_be_focused()
        self.page.keyboard.type(_TOKEN)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("heading", name="Sessions", level=1)).to_be_visible()

    def tab_to(self, selector: str) -> None:
        """Press Tab until such an element has the focus, which must be seen."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            found = self.page.locator(f"{selector}:focus-visible")
            if found.count():
                assert found.evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
                return
        raise AssertionError(f"Tab does not lead to {selector}")


@contextmanager
def visiting(
    browser: Browser, site: str, size: tuple[int, int] = _DESKTOP, scheme: Scheme = "light"
) -> Iterator[Visit]:
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, is_mobile=size == _PHONE
    )
    yield Visit(context.new_page(), site)
    context.close()


def test_by_keyboard_a_person_signs_in_and_comes_to_a_line_and_to_a_count(
    browser: Browser, site: str
) -> None:
    with visiting(browser, site) as visit:
        page, press = visit.page, visit.page.keyboard.press
        visit.sign_in()
        press("Tab")
        expect(page.get_by_text("Skip to the content")).to_be_focused()
        press("Enter")
        visit.tab_to("#f-signal")
        page.keyboard.type("rage")
        visit.tab_to("form.filters button")
        press("Enter")
        expect(page).to_have_url(
            f"{site}/?signal=rage_click&page=&start=&end=&contains=&person=&device=&project="
        )
        expect(page.locator(".sessions > li")).to_have_count(9)
        visit.tab_to(".sessions .name")
        press("Enter")
        expect(page.get_by_role("heading", name="Session s23", level=1)).to_be_visible()
        visit.tab_to(".signals a")
        press("Enter")
        expect(page).to_have_url(f"{site}/sessions/s23#t83")
        line = page.locator("tbody:target")
        expect(line).to_contain_text("s23:83")
        expect(line).to_contain_text("rage click")
        expect(line).to_be_in_viewport()
        visit.tab_to("nav a[href='/count']")
        press("Enter")
        expect(page.get_by_role("heading", name="Counts by page", level=1)).to_be_visible()
        expect(page.get_by_role("table").get_by_role("row")).to_have_count(11)
        visit.tab_to("#to")
        page.keyboard.type("s23:60")
        press("Enter")
        expect(page).to_have_url(f"{site}/sessions/s23#t60")
        visit.tab_to("form[action='/sign-out'] button")
        press("Enter")
        expect(page.get_by_role("heading", name="Sign in", level=1)).to_be_visible()
        assert visit.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [_DESKTOP, _PHONE], ids=["desktop", "phone"])
def test_every_page_is_whole_quiet_and_without_hindrance(
    browser: Browser, site: str, node_modules: Path, size: tuple[int, int], scheme: Scheme
) -> None:
    axe = (node_modules / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    with visiting(browser, site, size, scheme) as visit:
        visit.open("/")
        judged = {"sign in": judge(visit.page, axe)}
        visit.sign_in()
        visit.complaints.clear()
        for path in _PAGES:
            visit.open(path)
            judged[path] = judge(visit.page, axe)
            too_wide = "document.documentElement.scrollWidth - innerWidth"
            assert visit.page.evaluate(too_wide) <= 0, path
            text, paper = colours(visit.page)
            assert (text < paper) == (scheme == "light"), path
        assert judged == {path: [] for path in judged}
        assert visit.asked == {urlsplit(site).netloc}
        assert [one for one in visit.complaints if "404" not in one] == []


def judge(page: Page, axe: str) -> list[tuple[str, str]]:
    """What axe finds: the rules, and the first element that breaks each."""
    page.evaluate(axe)
    found = page.evaluate("() => axe.run()")
    return [(one["id"], one["nodes"][0]["html"]) for one in found["violations"]]


def colours(page: Page) -> tuple[int, int]:
    """How light the text is, and the paper."""
    of = "of => getComputedStyle(document.body)[of]"
    found = (page.evaluate(of, which) for which in ("color", "backgroundColor"))
    text, paper = (sum(int(part) for part in one[4:-1].split(",")) for one in found)
    return text, paper


def test_a_link_of_another_site_leads_to_the_page_of_who_is_signed_in(
    browser: Browser, site: str
) -> None:
    with visiting(browser, site) as visit:
        visit.sign_in()
        # As in a chat: of another site, so that the browser keeps the strict cookie back at first.
        visit.page.goto(f"data:text/html,<a href='{site}/sessions/s23'>s23</a>")
        visit.page.get_by_text("s23").click()
        expect(visit.page.get_by_role("heading", name="Session s23", level=1)).to_be_visible()


def test_a_page_of_another_port_reads_nothing_with_the_cookie(browser: Browser, site: str) -> None:
    read = f"""accept => fetch('{site}/count', {{
        credentials: 'include', headers: {{accept}}
    }}).then(it => it.text())"""
    with visiting(browser, site) as visit, visiting_beside(visit) as elsewhere:
        assert elsewhere.evaluate(read, "*/*").startswith("the read token is needed")
        assert "<h1>Sign in</h1>" in elsewhere.evaluate(read, "text/html")
        # Leaving for a page of ours is no reading by a script.
        elsewhere.goto(f"{site}/count")
        expect(elsewhere.get_by_role("heading", name="Counts by page", level=1)).to_be_visible()


@contextmanager
def visiting_beside(visit: Visit) -> Iterator[Page]:
    """A page of another origin of the same site, in the browser of who is signed in."""
    visit.sign_in()
    with served_site() as shop:
        page = visit.page.context.new_page()
        page.goto(f"{shop}/about.html")
        yield page


def test_what_a_person_sees_is_kept_for_the_documentation(
    browser: Browser, site: str, shot: Shot
) -> None:
    with visiting(browser, site) as visit:
        visit.sign_in()
        visit.open("/sessions/s23#t83")
        shot(visit.page, "page_timeline")
    with visiting(browser, site, scheme="dark") as visit:
        visit.sign_in()
        visit.open("/count?by=page")
        shot(visit.page, "page_counts")
    with visiting(browser, site, _PHONE) as visit:
        visit.sign_in()
        visit.open("/people/p5")
        shot(visit.page, "page_person")
