"""Where links lead: within the site, or away from it."""

from datetime import UTC, datetime

import pytest

from enrichment_pipeline.events.raw_event import Arrival, parse_event
from enrichment_pipeline.events.targets import within_site
from enrichment_pipeline_tests.conftest import make_event


@pytest.mark.parametrize(
    ("link", "within"),
    [
        ("https://shop.example/cart", "/cart"),
        ("http://shop.example", "/"),
        ("//shop.example/cart?a=b", "/cart?a=b"),
        ("https://shop.example?a=b", "/?a=b"),
        ("https://shop.example.evil.example/", "https://shop.example.evil.example/"),
        ("https://docs.shop.example/", "https://docs.shop.example/"),
        ("/cart", "/cart"),
    ],
)
def test_a_link_to_its_own_site_has_no_host(link: str, within: str) -> None:
    chain = 'a:attr__href="{0}"href="{0}"text="//shop.example"'
    assert within_site(chain.format(link), "shop.example") == chain.format(within)


def test_the_site_of_an_event_is_the_host_that_it_names() -> None:
    chain = 'a:attr__href="https://shop.example/cart"text="Cart"'
    properties = {"$elements_chain": chain, "$host": "shop.example"}
    payload = make_event("$autocapture", properties=properties)
    event = parse_event(payload, "default", Arrival(datetime(2026, 3, 1, 13, tzinfo=UTC)))
    assert event.inputs.elements_chain == 'a:attr__href="/cart"text="Cart"'
    for host in (None, 7, ""):
        assert within_site(chain, host) == chain
