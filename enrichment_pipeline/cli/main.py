"""The command `enrichment-pipeline`: its subcommands, and how their errors are shown.

What a subcommand does is in the module of its name.
"""

import typer

from enrichment_pipeline.classification import RulesFileError
from enrichment_pipeline.cli import (
    alerts,
    api,
    backfill,
    config,
    console,
    dead_letters,
    demo,
    export,
    forget,
    import_files,
    mcp,
    pull,
    rules,
    sessions,
    show,
    sql,
    status,
    timeline,
    up,
    worker,
)
from enrichment_pipeline.ingest.files import SourceError
from enrichment_pipeline.settings import SettingsError
from enrichment_pipeline.store.errors import StoreError, driver_error, first_line, is_store_failure
from enrichment_pipeline.workers.brokers.broker import BrokerError

app = typer.Typer(
    name="enrichment-pipeline",
    help="PostHog events in, LLM-ready events out, and every event accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("api")(api.api)
app.command("worker")(worker.worker)
app.command("import")(import_files.import_files)
app.command("pull")(pull.pull_events)
app.command("backfill")(backfill.backfill)
app.command("status")(status.status)
app.command("show")(show.show)
app.command("sql")(sql.sql)
app.command("timeline")(timeline.timeline)
app.command("mcp")(mcp.mcp)
app.command("export")(export.export)
app.command("forget")(forget.forget)
app.command("config")(config.config)
app.add_typer(alerts.app, name="alerts")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(sessions.app, name="sessions")
app.add_typer(rules.app, name="rules")


def run() -> None:
    """Run the command line; what a person can put right is told in one line."""
    try:
        app()
    except (BrokerError, StoreError, SettingsError, RulesFileError, SourceError) as error:
        _end(str(error))
    except Exception as error:
        # Whatever PostgreSQL says, away or well: a right that is missing, a table that was changed.
        if not is_store_failure(error) and driver_error(error) is None:
            raise
        _end(f"PostgreSQL: {first_line(error)}")


def _end(message: str) -> None:
    console.print_error(message)
    raise SystemExit(1)
