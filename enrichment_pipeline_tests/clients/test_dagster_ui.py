"""The way back from a failure, as a person goes it in Dagster's UI, in a real browser.

`make screenshots` runs this too, and puts what the person saw into docs/images.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, expect
from sqlalchemy import text

from enrichment_pipeline.orchestration.partitions import partition_key
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.clients.pipeline import EVENTS, Pipeline, counts, wait_until
from enrichment_pipeline_tests.conftest import HOUR

_SECONDS = 120
_SIZE: ViewportSize = {"width": 1400, "height": 900}
_BREAK = "ALTER TABLE enriched_event ADD CONSTRAINT broken CHECK (event <> 'ordered') NOT VALID"
_MEND = "ALTER TABLE enriched_event DROP CONSTRAINT broken"


# As docs/how-to/dead_letters.md has it.
_BACKFILL = """
mutation($partitions: [String!]) {
  launchPartitionBackfill(backfillParams: {
    assetSelection: [{path: ["enriched_events"]}], partitionNames: $partitions
  }) { __typename }
}
"""


def execute(store: Store, statement: str) -> None:
    with store.transaction() as connection:
        connection.execute(text(statement))


def see(page: Page, url: str, *texts: str) -> None:
    """Load a page again until all of these texts are on it."""
    deadline = time.monotonic() + _SECONDS
    while True:
        page.goto(url)
        try:
            for shown in texts:
                expect(page.get_by_text(shown).first).to_be_visible(timeout=5_000)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
        else:
            return


# The tables that have to be scrolled to the right, or are in something that has to.
_OFF_THE_PAGE = """
() => [...document.querySelectorAll("table")].filter(table => {
  for (let part = table; part; part = part.parentElement)
    if (part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0) return true;
  return false;
}).map(table => table.innerText.slice(0, 80))
"""


def see_the_overview(page: Page, pipeline: Pipeline, asset: str, *texts: str) -> None:
    """Look at the overview of an asset until all of these texts are on it; nothing lies off the
    page."""
    see(page, f"{pipeline.ui}/assets/{asset}?view=overview", *texts)
    assert page.evaluate(_OFF_THE_PAGE) == []


def see_partitions(page: Page, pipeline: Pipeline, **counted: int) -> None:
    """Look at the partitions of `enriched_events` until so many are of each kind."""
    texts = [f"{kind} ({number})" for kind, number in counted.items()]
    see(page, f"{pipeline.ui}/assets/enriched_events?view=partitions", *texts)


def launch_from_dialog(page: Page, choice: str, look: Callable[[], None] = lambda: None) -> None:
    """Materialize from the page of an asset, the partitions chosen by a button of the dialog."""
    page.get_by_role("button", name="Materialize").first.click()
    # The page behind has buttons of the same names.
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=choice, exact=True).click()
    launch = dialog.get_by_role("button", name="Launch")
    expect(launch).to_be_enabled()
    look()
    launch.click()
    # Whoever leaves the page before has launched nothing.
    expect(launch).to_be_hidden()


def test_a_failed_window_is_seen_backfilled_and_turns_green(
    browser: Browser, tmp_path: Path, shot: Callable[[Page, str], None]
) -> None:
    pipeline = Pipeline(tmp_path)
    page = browser.new_page(viewport=_SIZE)
    page.set_default_timeout(30_000)
    with pipeline.running() as store:
        pipeline.send("page opened")
        wait_until(lambda: counts(store) == (EVENTS, 0, 0), "the events are enriched")
        see_the_overview(page, pipeline, "raw_events", "accepted")
        see_the_overview(page, pipeline, "enriched_events", "description", "events_by_time")
        see_the_overview(page, pipeline, "session_timelines", "outline", "as a model reads it")

        # Materializing by hand what is finished changes nothing.
        see_partitions(page, pipeline, Failed=0, Missing=0)
        launch_from_dialog(page, "All")
        see_partitions(page, pipeline, Failed=0, Missing=0)
        assert counts(store) == (EVENTS, 0, 0)

        execute(store, _BREAK)
        pipeline.send("ordered")
        earlier = datetime.now(UTC).replace(minute=0) - 3 * HOUR
        pipeline.send("ordered", earlier)
        wait_until(lambda: counts(store) == (EVENTS, 2 * EVENTS, 0), "their batches are dead")
        see_partitions(page, pipeline, Failed=2, Missing=0)
        now = partition_key(datetime.now(UTC).replace(minute=0))
        page.get_by_text(now).filter(visible=True).first.click()
        expect(page.get_by_text("failed, and did not materialize")).to_be_visible()
        shot(page, "failed_window")

        page.set_viewport_size(_SIZE | {"height": 1500})
        failed = f"{earlier:%Y-%m-%d %H:00}"
        see_the_overview(page, pipeline, "dead_letter", "how_to_fix_windows", failed)
        shot(page, "dead_letter")
        page.set_viewport_size(_SIZE)

        execute(store, _MEND)
        launched = pipeline.ask(_BACKFILL, partitions=[partition_key(earlier)])
        assert launched["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess"
        see_partitions(page, pipeline, Failed=1)
        launch_from_dialog(page, "Failed and missing", lambda: shot(page, "backfill_dialog"))
        see_partitions(page, pipeline, Failed=0, Materialized=2)
        shot(page, "backfilled")
        wait_until(lambda: counts(store) == (3 * EVENTS, 0, 0), "the dead batch is taken in")
        page.close()
