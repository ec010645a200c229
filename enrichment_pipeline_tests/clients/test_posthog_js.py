"""posthog-js, unchanged, in a real browser: what a user does on a page is what is enriched."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.embedded import EmbeddedPostgres
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import Arrivals, enriched, rows
from enrichment_pipeline_tests.clients.serving import PROJECT, Api
from enrichment_pipeline_tests.clients.visits import Visit, visiting
from enrichment_pipeline_tests.outage import begin_outage, end_outage

_GZIP_MAGIC = b"\x1f\x8b"
# posthog-js captures no click before its configuration has said that it may.
_CAPTURES_CLICKS = """
    () => window.posthog?.__loaded
        && posthog.get_property("$autocapture_disabled_server_side") === false
"""


@pytest.fixture
def visit(browser: Browser, api: Api, site: str, node_modules: Path) -> Iterator[Visit]:
    """A new user on the shop's page, where posthog-js is ready."""
    with visiting(browser, api, site, node_modules / "posthog-js") as visit:
        visit.page.wait_for_function(_CAPTURES_CLICKS)
        yield visit


# The visit of the test below.
_RECORDED = [
    ("$pageview", "pageview", "view", "Viewed /shop.html"),
    ("$autocapture", "click", "click", 'Clicked button "Buy now" on /shop.html'),
    *[("$autocapture", "click", "click", 'Clicked button "Apply coupon" on /shop.html')] * 3,
    ("$rageclick", "click", "rage_click", 'Rage-clicked button "Apply coupon" on /shop.html'),
    ("$autocapture", "click", "change", 'Changed field "company" on /shop.html'),
    ("$autocapture", "click", "change", 'Changed list "plan" on /shop.html'),
    ("$autocapture", "click", "click", 'Clicked button "Sign up" on /shop.html'),
    ("$autocapture", "click", "submit", 'Submitted form "sign-up" on /shop.html'),
    ("$autocapture", "click", "click", 'Clicked link "See all plans 🛒" on /shop.html'),
    ("$pageleave", "navigation", "leave", "Left /shop.html"),
]


def test_what_a_user_does_is_recorded_action_by_action(
    visit: Visit, api: Api, arrivals: Arrivals, store: Store, rules: Rules
) -> None:
    page = visit.page
    page.locator("#buy").click()
    page.locator("#coupon").click(click_count=3)
    page.locator("[name=company]").fill("Acme")
    page.locator("[name=plan]").select_option("Pro")
    page.get_by_text("Sign up").click()
    distinct_id = page.evaluate("posthog.get_distinct_id()")
    session_id = page.evaluate("posthog.get_session_id()")
    page.locator("#plans").click()
    page.wait_for_url("**/about.html")
    arrivals.wait_for([event for event, *_ in _RECORDED])

    found = enriched(store, rules)
    recorded = [(row.event, row.event_type, row.action_type, row.description) for row in found]
    # Within a millisecond, the browser says nothing of the order.
    assert sorted(recorded) == sorted(_RECORDED)
    assert (recorded[0], recorded[-1]) == (_RECORDED[0], _RECORDED[-1])
    assert {row.project for row in found} == {PROJECT}
    assert {row.distinct_id for row in found} == {distinct_id}
    assert {row.session_id for row in found} == {session_id}
    assert {row.path for row in found} == {"/shop.html"}
    assert found[0].title == "Shop"
    labels = {(row.element_tag, row.element_label) for row in found if row.element_tag}
    assert labels == {
        ("button", "Buy now"),
        ("button", "Apply coupon"),
        ("button", "Sign up"),
        ("form", "sign-up"),
        ("input", "company"),
        ("select", "plan"),
        ("a", "See all plans 🛒"),
    }
    assert visit.complaints == []
    # Which of the two depends on whether its configuration had come when the page was left.
    beacon = page.evaluate("sessionStorage.getItem('beacon')")
    assert beacon in {f"{api.url}/e/", f"{api.url}/i/v0/e/"}


def test_calls_of_a_page_are_sent_compressed_and_recorded(
    visit: Visit, arrivals: Arrivals, store: Store, rules: Rules
) -> None:
    visit.page.evaluate(
        """() => {
            posthog.identify("user-1", {plan: "pro"});
            posthog.capture("Order completed", {total: 42, note: "größer → 🛒".repeat(200)});
            posthog.captureException(new Error("no"));
        }"""
    )
    arrivals.wait_for(["$pageview", "$identify", "Order completed", "$exception"])
    found = {row.event: row for row in enriched(store, rules)}
    order = found["Order completed"]
    assert (order.distinct_id, order.action_type) == ("user-1", "submit")
    assert order.properties["total"] == 42
    assert order.properties["note"].startswith("größer → 🛒")
    assert found["$identify"].distinct_id == "user-1"
    bodies = [request.post_data_buffer or b"" for request in visit.sent]
    assert bodies
    assert all(body.startswith(_GZIP_MAGIC) for body in bodies)


def test_a_browser_sends_again_what_the_store_was_not_there_for(
    visit: Visit, arrivals: Arrivals, server: EmbeddedPostgres, store: Store, rules: Rules
) -> None:
    arrivals.wait_for(["$pageview"])
    page = visit.page
    begin_outage(server, store)
    with page.expect_response(lambda response: response.status == 503):
        page.locator("#buy").click()
    end_outage(server, store)
    with page.expect_response(lambda response: response.request.method == "POST") as again:
        pass
    assert again.value.status == 200
    found = [(row.event, row.element_label) for row in enriched(store, rules)]
    assert found == [("$pageview", None), ("$autocapture", "Buy now")]
    assert rows(store, "SELECT 1 FROM dead_letter") == []
