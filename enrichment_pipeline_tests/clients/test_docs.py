"""The site of the docs in a real browser, from a folder: its search, dark, and on a phone."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from enrichment_pipeline_tests.docs.building import build


@pytest.mark.slow
def test_a_reader_without_a_network_searches_the_docs_and_asks_no_host(
    browser: Browser, tmp_path: Path
) -> None:
    site = build(tmp_path).as_uri()
    phone = browser.new_context(color_scheme="dark", viewport={"width": 360, "height": 740})
    asked: list[str] = []
    phone.on("request", lambda request: asked.append(request.url))
    page = phone.new_page()
    page.goto(f"{site}/how-to/dead_letters.html")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    page.keyboard.press("/")
    page.keyboard.type("nested more than 500 levels deep")
    found = page.get_by_role("option").filter(has_text="Reason codes").first
    expect(found).to_be_visible()
    found.click()
    expect(page).to_have_url(re.compile(r"/reference/reasons\.html"))
    assert [url for url in asked if not url.startswith((site, "data:", "blob:"))] == []
    phone.close()
