"""`enrichment-pipeline alerts`: whether alerts arrive, and what they say."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from enrichment_pipeline.alerts.channels import channels, send_to_all
from enrichment_pipeline.alerts.messages import title_of, trial_message
from enrichment_pipeline.cli.console import fail, out, print_json, print_table, records
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.store.monitoring.alerts import (
    ListedAlert,
    UndeliveredMessage,
    listed_alerts,
    undelivered_messages,
)
from enrichment_pipeline.wording import counted

_MOST = 200
_ALERTS = ("key", "kind", "count", "what", "since", "told", "closed")
_SHOWN = slice(3, None)
_HEADER = ("what", "since", "notified", "closed")
_UNDELIVERED = ("channel", "what", "created", "tries", "next_try", "last_error")

app = typer.Typer(
    help="See what is wrong, and whether alerts of it arrive.\n\n"
    "Example: [bold]enrichment-pipeline alerts test[/]",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.command("test")
def try_channels(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send a test message to every channel now, and say whether it arrived.

    The channels are those of ENRICHMENT_ALERT_URLS and ENRICHMENT_ALERT_WEBHOOK. Ends with 1 where
    a channel did not take the message.

    Example: [bold]ENRICHMENT_ALERT_URLS="slack://A/B/C" enrichment-pipeline alerts test[/]
    """
    found = channels(load_settings())
    if not found:
        fail("no channel: set ENRICHMENT_ALERT_URLS or ENRICHMENT_ALERT_WEBHOOK")
    outcomes = send_to_all(found, trial_message(datetime.now(UTC)))
    if as_json:
        print_json(
            [
                {"channel": name, "arrived": error is None, "error": error}
                for name, error in outcomes.items()
            ]
        )
    else:
        rows = [(name, error or "arrived") for name, error in outcomes.items()]
        print_table(("channel", "outcome"), rows)
    failed = [name for name, error in outcomes.items() if error]
    if failed:
        fail(
            f"{len(failed)} of {counted(len(found), 'channel')} did not take the message: "
            f"{failed[0]}"
        )


@app.command("list")
def list_alerts(
    every: Annotated[bool, typer.Option("--all", help="Those that are closed, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List open alerts and undelivered messages.

    Example: [bold]enrichment-pipeline alerts list --all[/]
    """
    with existing_store(load_settings()) as store, store.transaction() as connection:
        alerts = listed_alerts(connection, closed_too=every, most=_MOST)
        undelivered = undelivered_messages(connection, _MOST)
    alert_rows = [_alert_row(alert) for alert in alerts]
    message_rows = [_message_row(message) for message in undelivered]
    if as_json:
        print_json(
            {
                "alerts": records(_ALERTS, alert_rows),
                "undelivered": records(_UNDELIVERED, message_rows),
            }
        )
        return
    if alerts:
        print_table(_HEADER, [row[_SHOWN] for row in alert_rows])
    else:
        out.print("No alert is open." if not every else "There have been no alerts.")
    if undelivered:
        print_table(_UNDELIVERED, message_rows, title="Not delivered yet")


def _alert_row(listed: ListedAlert) -> tuple[object, ...]:
    alert = listed.alert
    return (
        alert.key,
        alert.kind,
        alert.notified_count,
        title_of(alert),
        alert.since,
        alert.notified_at,
        listed.closed_at,
    )


def _message_row(message: UndeliveredMessage) -> tuple[object, ...]:
    return (
        message.channel,
        message.message["title"],
        message.created_at,
        message.attempts,
        message.due_at,
        message.last_error,
    )
