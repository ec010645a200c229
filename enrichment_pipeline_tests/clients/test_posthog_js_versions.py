"""posthog-js from its first versions to today's, each unchanged in a real browser.

What the newest one sends in detail is in `test_posthog_js`.
"""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import Arrivals, enriched, rows
from enrichment_pipeline_tests.clients.conftest import HERE
from enrichment_pipeline_tests.clients.serving import Api
from enrichment_pipeline_tests.clients.visits import visiting

_VERSIONS = sorted(
    name
    for name in json.loads((HERE / "package.json").read_text())["dependencies"]
    if name.startswith("posthog-js")
)
# Autocapture listens to all clicks of the document from the moment at which it may.
_NOTE_LISTENERS = """
    window.listensTo = new Set();
    const listen = document.addEventListener.bind(document);
    document.addEventListener = (type, ...rest) => { listensTo.add(type); listen(type, ...rest); };
"""


@pytest.mark.parametrize("version", _VERSIONS)
def test_every_version_captures_clicks_to_the_last_one_and_the_leaving(
    browser: Browser,
    api: Api,
    site: str,
    node_modules: Path,
    arrivals: Arrivals,
    store: Store,
    rules: Rules,
    version: str,
) -> None:
    with visiting(browser, api, site, node_modules / version, _NOTE_LISTENERS) as visit:
        page = visit.page
        page.wait_for_function("window.posthog?.__loaded && listensTo.has('change')")
        page.locator("#buy").click()
        page.locator("#plans").click()
        page.wait_for_url("**/about.html")
        arrivals.wait_for(["$pageview", "$autocapture", "$autocapture", "$pageleave"])

    assert [
        (row.event, row.element_label)
        for row in enriched(store, rules)
        if row.event in ("$pageview", "$autocapture", "$pageleave")
    ] == [
        ("$pageview", None),
        ("$autocapture", "Buy now"),
        ("$autocapture", "See all plans 🛒"),
        ("$pageleave", None),
    ]
    assert rows(store, "SELECT event, reason_code FROM dead_letter") == []
    assert visit.complaints == []
