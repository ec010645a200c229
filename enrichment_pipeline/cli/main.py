"""The command `enrichment-pipeline`: its subcommands, and how their errors are shown.

Each subcommand is in the module of its name, which is imported when the subcommand is called:
importing all of them takes more than a second.
"""

import atexit
import gc
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, NamedTuple, cast

import typer
from typer.core import TyperCommand
from typer.main import get_group

from enrichment_pipeline.cli import console
from enrichment_pipeline.wording import PROGRAM, UserError, command


class _Subcommand(NamedTuple):
    module: str
    attribute: str
    summary: str


_SUBCOMMANDS = {
    "demo": _Subcommand("demo", "demo", "The whole pipeline on this machine, with a sample in it."),
    "up": _Subcommand("up", "up", "The whole pipeline on this machine: API, enrichment, Dagster."),
    "api": _Subcommand("api", "api", "Take events over HTTP, as PostHog's SDKs send them."),
    "worker": _Subcommand(
        "worker", "worker", "Enrich as soon as the API notifies; needs BROKER_URL."
    ),
    "import": _Subcommand("import_files", "import_files", "Take exported events in, from files."),
    "pull": _Subcommand("pull", "pull_events", "Pull events from where PostHog keeps them."),
    "status": _Subcommand(
        "status",
        "status",
        "Show event counts for each window: accepted = enriched + dead + pending.",
    ),
    "show": _Subcommand("show", "show", "Show one event, or one dead letter, whole."),
    "sql": _Subcommand("sql", "sql", "Query the store, as a role that cannot write."),
    "sessions": _Subcommand("sessions", "app", "List sessions, or build them now."),
    "timeline": _Subcommand(
        "timeline", "timeline", "What happened in one session, for a person or a model."
    ),
    "person": _Subcommand(
        "person", "person", "What one person did, over several sessions; for a person or a model."
    ),
    "errors": _Subcommand(
        "errors", "errors", "Errors that users ran into: which, how often, whom they hit."
    ),
    "count": _Subcommand("counting", "count", "How many: by event, page, signal, time and more."),
    "funnel": _Subcommand(
        "counting", "funnel", "How many come from step to step, and what stops the others."
    ),
    "paths": _Subcommand(
        "counting", "paths", "What sessions do right after a step, or right before it."
    ),
    "compare": _Subcommand(
        "counting", "compare", "In what sessions with a step differ from those without it."
    ),
    "retention": _Subcommand(
        "counting", "retention", "How many people came back, week by week or day by day."
    ),
    "cite": _Subcommand("cite", "app", "Whether the citations of a model's answer are right."),
    "mcp": _Subcommand("mcp", "mcp", "Let a language model ask by itself: an MCP server."),
    "export": _Subcommand("export", "export", "Write enriched events or timelines to files."),
    "dead-letters": _Subcommand(
        "dead_letters", "app", "What failed and why; replay it, or discard it."
    ),
    "backfill": _Subcommand(
        "backfill", "backfill", "Reprocess windows, including their failed batches."
    ),
    "rules": _Subcommand(
        "rules", "app", "How events are classified, and what other rules would change."
    ),
    "dagster-files": _Subcommand(
        "dagster_files", "dagster_files", "Write what Dagster's own commands need into a folder."
    ),
    "alerts": _Subcommand("alerts", "app", "What is wrong now, and whether alerts arrive."),
    "migrate": _Subcommand("migrate", "migrate", "Bring the schema of a store up to date."),
    "forget": _Subcommand("forget", "forget", "Remove a person from every table."),
    "config": _Subcommand("config", "config", "Every setting, its variable and its value."),
}


class _Lazy(TyperCommand):
    """A subcommand whose module is imported when it is called, not when it is listed."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        return _loaded(str(self.name)).make_context(info_name, args, parent, **extra)


def _loaded(name: str) -> Any:
    """A subcommand as Typer makes it, with examples as they can be typed on this machine."""
    wanted = _SUBCOMMANDS[name]
    found = getattr(import_module(f"enrichment_pipeline.cli.{wanted.module}"), wanted.attribute)
    gc.enable()
    if isinstance(found, typer.Typer):
        made: Any = get_group(found)
        made.name = name
    else:
        sole = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="rich")
        sole.command(name)(cast("Callable[..., None]", found))
        made = get_group(sole).commands[name]
    for one in (made, *getattr(made, "commands", {}).values()):
        for text in ("help", "epilog"):
            if said := getattr(one, text):
                setattr(one, text, said.replace(f"{PROGRAM} ", command("")))
    return made


app = typer.Typer(
    name=PROGRAM,
    help="PostHog events in, LLM-ready events out, and every event accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _is_imported_later() -> None:
    """Stands for each subcommand until it is called."""


for _name, _subcommand in _SUBCOMMANDS.items():
    app.command(_name, cls=_Lazy, help=_subcommand.summary)(_is_imported_later)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        console.write(f"{PROGRAM} {version(PROGRAM)}")
        raise typer.Exit


@app.callback()
def before_every_subcommand(
    asked: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Warn of variables that look like settings and are none: a misspelt one has no other sign."""
    from enrichment_pipeline.settings import unknown_variables

    for line in unknown_variables():
        console.print_warning(line)


def run() -> None:
    """Run the command line; errors that a person can put right are shown in one line."""
    # At its end, Python searches all that was imported for garbage: seconds, after Dagster.
    atexit.register(gc.freeze)
    # Until the subcommand is imported: that makes many objects and no garbage.
    gc.disable()
    try:
        app()
    except Exception as error:
        line = _in_one_line(error)
        if line is None:
            raise
        console.print_error(line)
        sys.exit(1)
    finally:
        gc.enable()


def _in_one_line(error: Exception) -> str | None:
    """What a person can put right, in one line."""
    if isinstance(error, UserError):
        return str(error)
    from enrichment_pipeline.events.masked import masked_line
    from enrichment_pipeline.store.database.errors import driver_error, first_line, is_store_failure

    # Any error of PostgreSQL: it is unreachable, a right is missing, a table was changed. One of
    # a trigger may quote the row.
    if is_store_failure(error) or driver_error(error) is not None:
        return f"PostgreSQL: {masked_line(first_line(error))}"
    return None
