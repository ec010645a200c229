"""`enrichment-pipeline api`: take events over HTTP, as PostHog's SDKs send them."""

from typing import TYPE_CHECKING

from enrichment_pipeline.cli.console import fail, say
from enrichment_pipeline.cli.services import url_host, why_not_listen
from enrichment_pipeline.cli.worker import broker_of
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store, opened_store

if TYPE_CHECKING:
    from enrichment_pipeline.ingest.api.app import Parts
    from enrichment_pipeline.workers.notifying import BrokerNotifier


def api() -> None:
    """Take events over HTTP, as PostHog's SDKs send them: point their api_host here.

    Runs until Ctrl-C. Dagster enriches the events: `enrichment-pipeline up` runs both. With
    BROKER_URL workers do: each commit notifies them.

    Example: [bold]ENRICHMENT_PROJECT_TOKENS=phc_abc=shop enrichment-pipeline api[/]
    """
    # Importing the server takes half a second, which the other subcommands should not spend.
    from enrichment_pipeline.ingest.api.server import serve

    settings = load_settings()
    check_api_port(settings)
    with opened_store(settings) as store:
        say(f"API:     {api_url(settings)}   (Ctrl-C stops it)")
        say(pages_line(settings))
        serve(store, _parts)


def _parts(store: Store) -> "Parts":
    from enrichment_pipeline.ingest.api.app import Parts
    from enrichment_pipeline.ingest.api.tokens import read_token
    from enrichment_pipeline.llm.http import reading_routes
    from enrichment_pipeline.web.pages import Pages

    settings = store.settings
    pages = Pages(store, read_token(settings))
    return Parts(_notifier(settings), reading_routes(store), pages)


def _notifier(settings: Settings) -> "BrokerNotifier | None":
    broker = broker_of(settings)
    if broker is None:
        return None
    from enrichment_pipeline.workers.app import celery_app
    from enrichment_pipeline.workers.notifying import BrokerNotifier

    return BrokerNotifier(celery_app(broker), broker)


def api_url(settings: Settings) -> str:
    """The URL of the API."""
    return f"http://{url_host(settings.host)}:{settings.api_port}"


def pages_line(settings: Settings) -> str:
    """Where the pages for people are, and what opens them."""
    is_set = settings.read_token is not None
    token = "ENRICHMENT_READ_TOKEN" if is_set else f"the token in {settings.home / 'read_token'}"
    return f"Pages:   {api_url(settings)}/   (in a browser; sign in with {token})"


def check_api_port(settings: Settings) -> None:
    """End the command where nothing can listen on the API's port."""
    if why := why_not_listen(settings.host, settings.api_port, "ENRICHMENT_API_PORT"):
        fail(why)
