"""`enrichment-pipeline worker`: answer the doorbells that the API rings on a broker."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, out
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.engine import opened_store


class QueueName(StrEnum):
    """The queues, as people name them."""

    ENRICH = "enrich"
    DEAD_LETTER = "dead_letter"


def worker(
    queue: Annotated[
        QueueName, typer.Option(help="What to answer: doorbells, or what failed too often.")
    ] = QueueName.ENRICH,
    processes: Annotated[
        int, typer.Option(min=1, help="How many work at once; by default one for each core.")
    ] = os.cpu_count() or 1,
) -> None:
    """Enrich what comes due as soon as the API rings. Wants BROKER_URL; start as many as you like,
    on any machine that reaches the broker and PostgreSQL.

    Runs until Ctrl-C or SIGTERM, which finish what is in hand.

    Example: [bold]BROKER_URL=amqp://guest:guest@127.0.0.1:5672 enrichment-pipeline worker[/]
    """
    settings = load_settings()
    url = broker_url(settings)
    # Celery takes half a second to import, which the other subcommands need not wait for.
    from enrichment_pipeline.workers.brokers.choosing import broker_at
    from enrichment_pipeline.workers.queues import Queue
    from enrichment_pipeline.workers.worker import serve

    broker = broker_at(url)
    with opened_store(settings):
        out.print(f"Worker of {broker.name}, queue {queue} (Ctrl-C stops it)")
        code = serve(broker, settings, Queue[queue.name], processes)
    raise typer.Exit(code)


def broker_url(settings: Settings) -> str:
    """The URL of the broker; ends the command where none is set."""
    if settings.broker_url is None:
        fail("BROKER_URL is not set; without a broker Dagster enriches, and no worker is needed")
    return settings.broker_url.get_secret_value()
