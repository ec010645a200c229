"""`enrichment-pipeline worker`: handle the notifications that the API publishes on a broker."""

import os
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from enrichment_pipeline.cli.console import fail, out, print_error
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import opened_store
from enrichment_pipeline.store.database.errors import first_line

if TYPE_CHECKING:
    from enrichment_pipeline.workers.brokers.broker import Broker


class QueueName(StrEnum):
    """The queues, by their names on the command line."""

    ENRICH = "enrich"
    DEAD_LETTER = "dead_letter"


def worker(
    queue: Annotated[
        QueueName, typer.Option(help="What to handle: notifications, or what failed too often.")
    ] = QueueName.ENRICH,
    processes: Annotated[
        int, typer.Option(min=1, help="How many work at once.", show_default="one for each core")
    ] = os.cpu_count() or 1,
) -> None:
    """Enrich events as soon as the API notifies. Needs BROKER_URL; start as many workers as you
    like, on any machine that reaches the broker and PostgreSQL.

    Runs until Ctrl-C or SIGTERM; what is under way is finished first.

    Example: [bold]BROKER_URL=amqp://guest:guest@127.0.0.1:5672 enrichment-pipeline worker[/]
    """
    settings = load_settings()
    broker = broker_of(settings)
    if broker is None:
        fail("BROKER_URL is not set; without a broker Dagster enriches, and no worker is needed")
    # Imported here for the same reason as in broker_of.
    from enrichment_pipeline.workers.queues import Queue
    from enrichment_pipeline.workers.worker import serve

    with opened_store(settings):
        out.print(f"Worker of {broker.name}, queue {queue} (Ctrl-C stops it)")
        code = serve(broker, settings, Queue[queue.name], processes)
    raise typer.Exit(code)


def broker_of(settings: Settings) -> "Broker | None":
    """The broker that BROKER_URL names; None where it is unset.

    Raises:
        BrokerError: the broker cannot be used; whether it responds is not checked.
    """
    if settings.broker_url is None:
        return None
    # Importing Celery and the clients takes half a second, which other subcommands should not
    # spend.
    from enrichment_pipeline.workers.brokers.choosing import broker_at

    return broker_at(settings.broker_url.get_secret_value())


def notify_workers(settings: Settings) -> None:
    """Notify workers, where there is a broker, of due events that did not come through the API.
    Where the broker does not respond, a warning says so, and the events are left to Dagster."""
    broker = broker_of(settings)
    if broker is None:
        return
    from enrichment_pipeline.workers.app import celery_app
    from enrichment_pipeline.workers.notifying import notify

    try:
        notify(celery_app(broker), [])
    except Exception as error:  # noqa: BLE001  of five clients; the events are in the store
        print_error(
            f"{broker.name} does not answer ({first_line(error)}); Dagster enriches what is due "
            f"after {settings.grace_seconds} s"
        )
