"""`enrichment-pipeline demo`: the whole pipeline with a sample of real events in it."""

from datetime import UTC, datetime

from enrichment_pipeline.cli.api import api_url, pages_line
from enrichment_pipeline.cli.clicked import Clicked
from enrichment_pipeline.cli.console import out, print_table, say, waiting, write
from enrichment_pipeline.cli.up import running, ui_url, wait_until, watch
from enrichment_pipeline.cli.worker import notify_workers
from enrichment_pipeline.ingest.api.tokens import ProjectTokens
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.files import FileRecord
from enrichment_pipeline.ingest.importer import import_records
from enrichment_pipeline.ingest.sample.sample import sample_events
from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.sessions import timeline_of
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.query import query
from enrichment_pipeline.store.sessions.reading import most_varied_session
from enrichment_pipeline.store.windows.books import books
from enrichment_pipeline.wording import command, counted

_SENSOR_SECONDS = 5
_PROJECT = "demo"

_BY_TYPE = """
SELECT event_type, action_type, count(*) AS events, min(description) AS example
FROM enriched_event GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


_LATEST = "SELECT occurred_at, description FROM enriched_event ORDER BY 1 DESC LIMIT 9"


def demo() -> None:
    """Start everything, import a sample of posthog-js events, wait until it is enriched, and show
    the result; then show the timeline of what you click in a page with the printed snippet.

    Keeps running until Ctrl-C, which stops everything it started. A second time it adds nothing.

    Example: [bold]enrichment-pipeline demo[/]
    """
    settings = load_settings()
    if "sensor_seconds" not in settings.model_fields_set:
        settings.sensor_seconds = _SENSOR_SECONDS
    started = datetime.now(UTC)
    with running(settings) as (services, store):
        try:
            summary = _import_sample(store)
            notify_workers(settings)
            out.print(
                f"Sample: {counted(summary.accepted, 'event')} imported, "
                f"{summary.duplicates:,} known already",
                highlight=False,
            )
            with waiting("Waiting until they are enriched …"):
                wait_until(services, lambda: not _pending(store), "the enrichment")
        except KeyboardInterrupt:
            return
        result = query(store, _BY_TYPE)
        print_table(result.columns, result.rows, title="What users did")
        _show_session(store)
        say(pages_line(settings))
        out.print(f"Dagster: [bold]{ui_url(settings)}/asset-groups[/]")
        say("Query:   " + command(f'sql "{_LATEST}"'))
        say(f"Connect a language model: {command('mcp --help')}")
        say(
            "Send your own clicks: paste this into a page and click around; what you did is shown "
            "here. The page fetches posthog-js from PostHog's CDN, so its browser needs the "
            "internet:"
        )
        say(_snippet(settings))
        out.print("Ctrl-C stops everything.")
        clicked = Clicked(store, started, _PROJECT)
        watch(services, store, clicked.read)
        clicked.show_last()


def _show_session(store: Store) -> None:
    """Show the timeline of one session of the sample."""
    with store.transaction() as connection:
        session = most_varied_session(connection, _PROJECT)
        if session is None:
            return
        timeline = timeline_of(connection, session, project=_PROJECT)
    out.print("\n[bold]One of their sessions[/], as a language model reads it:")
    write(render(timeline))
    out.print()


def _snippet(settings: Settings) -> str:
    """HTML that makes posthog-js in a page send its events here."""
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
    import_records(store, records, _PROJECT, summary)
    return summary


def _pending(store: Store) -> int:
    with store.transaction() as connection:
        return sum(window.pending for window in books(connection))
