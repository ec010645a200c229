"""`enrichment-pipeline demo`: the whole pipeline with a sample of real events in it."""

import os
import sys
from datetime import UTC, datetime

from enrichment_pipeline.cli.api import api_url
from enrichment_pipeline.cli.console import out, print_table
from enrichment_pipeline.cli.up import running, ui_url, wait_until, watch
from enrichment_pipeline.cli.worker import ring_workers
from enrichment_pipeline.ingest.api.tokens import ProjectTokens
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.files import FileRecord
from enrichment_pipeline.ingest.importer import import_records
from enrichment_pipeline.ingest.sample.sample import sample_events
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.books import books
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.query import query

_SENSOR_SECONDS = 5

_BY_TYPE = """
SELECT event_type, action_type, count(*) AS events, min(description) AS example
FROM enriched_event GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


_LATEST = "SELECT occurred_at, description FROM enriched_event ORDER BY 1 DESC LIMIT 9"


def demo() -> None:
    """Start everything, import a sample of posthog-js events, wait until it is enriched, and show
    the result.

    Keeps running until Ctrl-C, which stops everything it started. A second time it adds nothing.

    Example: [bold]enrichment-pipeline demo[/]
    """
    settings = load_settings()
    if "sensor_seconds" not in settings.model_fields_set:
        settings.sensor_seconds = _SENSOR_SECONDS
    with running(settings) as (services, store):
        try:
            summary = _import_sample(store)
            ring_workers(settings)
            out.print(
                f"Sample: {summary.accepted:,} events imported, {summary.duplicates:,} known "
                "already",
                highlight=False,
            )
            with out.status("Waiting until they are enriched …"):
                wait_until(services, lambda: not _pending(store), "the enrichment")
        except KeyboardInterrupt:
            return
        result = query(store, _BY_TYPE)
        print_table(result.columns, result.rows, title="What users did")
        out.print(f"Dagster: [bold]{ui_url(settings)}/asset-groups[/]")
        out.print(f'Ask:     {_this_program()} sql "{_LATEST}"', soft_wrap=True)
        out.print("Send:    paste this into a page, click around, and ask again 15 seconds later:")
        out.print(_snippet(settings), highlight=False, markup=False, soft_wrap=True)
        out.print("Ctrl-C stops everything.")
        watch(services, store, settings)


def _this_program() -> str:
    """This command, as the user can type it."""
    return sys.argv[0] if os.sep in sys.argv[0] else "enrichment-pipeline"


def _snippet(settings: Settings) -> str:
    """posthog-js in a page, sending here."""
    token = ProjectTokens(settings).first
    url = api_url(settings)
    return (
        f'  <script src="{url}/static/array.js"></script>\n'
        f'  <script>posthog.init("{token}", {{api_host: "{url}"}})</script>'
    )


def _import_sample(store: Store) -> ImportSummary:
    summary = ImportSummary()
    records = (
        FileRecord(payload, position)
        for position, payload in enumerate(sample_events(datetime.now(UTC)), start=1)
    )
    import_records(store, records, "demo", summary)
    return summary


def _pending(store: Store) -> int:
    with store.transaction() as connection:
        return sum(window.pending for window in books(connection))
