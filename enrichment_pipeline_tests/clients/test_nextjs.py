"""`examples/nextjs`: the application as Next.js builds it, in a real browser."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.arrivals import Arrivals, enriched
from enrichment_pipeline_tests.clients.serving import PROJECT, TOKEN, Api
from enrichment_pipeline_tests.needs import cannot_run, installed_by_npm
from enrichment_pipeline_tests.processes import Server, await_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "nextjs"

# posthog-js captures no click before its configuration has said that it may. It is no global here.
_CONFIGURED = "**/ingest/array/*/config*"

# posthog-js sends nothing for what says that it is no person.
_NO_BOT = """
    Object.defineProperty(navigator, "webdriver", { get: () => false });
    Object.defineProperty(navigator, "userAgentData", { get: () => undefined });
"""


class Application(Server):
    """The application, built for one API."""

    def __init__(self, folder: Path, api: Api) -> None:
        super().__init__(folder)
        self._variables = {
            "EVENTS_API_URL": api.url,
            "NEXT_PUBLIC_POSTHOG_KEY": TOKEN,
            "NEXT_TELEMETRY_DISABLED": "1",
        }
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        node = shutil.which("node") or cannot_run("node is needed to run Next.js")
        next_js = str(installed_by_npm(EXAMPLE) / "next" / "dist" / "bin" / "next")
        built = subprocess.run(
            [node, next_js, "build", str(EXAMPLE)],
            env={**os.environ, **self._variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stdout
        self._run(
            [node, next_js, "start", str(EXAMPLE), f"--port={self.port}", "-H", "127.0.0.1"],
            self._variables,
        )
        await_port(self.port)


@pytest.fixture
def application(tmp_path: Path, api: Api) -> Iterator[Application]:
    """The application, which sends to the API of the test."""
    with Application(tmp_path, api) as running:
        yield running


@pytest.fixture
def page(browser: Browser, application: Application) -> Iterator[Page]:
    """A new user on the first page, where posthog-js is ready."""
    context = browser.new_context(
        user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537"
    )
    context.add_init_script(_NO_BOT)
    page = context.new_page()
    with page.expect_response(_CONFIGURED) as configured:
        page.goto(application.url)
    assert configured.value.status == 200
    yield page
    context.close()


def test_what_a_user_does_in_the_application_arrives_and_is_enriched(
    page: Page, arrivals: Arrivals, store: Store, rules: Rules
) -> None:
    # Its first pageview goes out once it is configured.
    arrivals.wait_for(["$pageview"])
    page.get_by_text("Buy now").click()
    page.get_by_text("Apply coupon").click()
    page.get_by_text("Prices").click()
    page.wait_for_url("**/pricing")
    clicks = ["$autocapture"] * 3
    arrivals.wait_for(["$pageview", "$pageview", "coupon_applied", *clicks])
    found = enriched(store, rules)
    assert {row.project for row in found} == {PROJECT}
    assert len({row.session_id for row in found}) == 1
    described = {row.description for row in found}
    assert described >= {
        "Viewed /",
        'Clicked button "Buy now" on /',
        'Clicked button "Apply coupon" on /',
        'Clicked link "Prices" on /',
        "Viewed /pricing",
    }
    [coupon] = [row for row in found if row.event == "coupon_applied"]
    assert (coupon.event_type, coupon.properties["code"]) == ("custom", "SPRING")
