"""`enrichment-pipeline migrate`: the schema of the store, brought up to date when a person decides.

What a migration does belongs to `store.migrations`.
"""

from contextlib import closing
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, print_json, say, write
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import connect_store, must_exist
from enrichment_pipeline.store.database.schema import (
    Migration,
    newest_version,
    schema_version,
)
from enrichment_pipeline.store.database.schema import migrate as migrate_store
from enrichment_pipeline.wording import command


def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit status 1 where it is older.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring the schema of the store up to date, while older versions go on working with it.

    The embedded PostgreSQL is brought up to date by whatever opens it. One of yours is changed by
    this command alone, unless ENRICHMENT_AUTO_MIGRATE is true. An empty database gets its tables.

    Example: [bold]enrichment-pipeline migrate --check || enrichment-pipeline migrate[/]
    """
    settings = load_settings()
    if check:
        must_exist(settings)
    with closing(connect_store(settings)) as store:
        if check:
            with store.transaction() as connection:
                done = Migration(schema_version(connection), newest_version())
        else:
            done = migrate_store(
                store.engine,
                store.window,
                report=lambda version: None if as_json else say(f"{version} is done."),
            )
    if as_json:
        print_json({"before": done.before, "newest": done.after, "checked": check})
    if done.before == done.after:
        if not as_json:
            write(f"The schema is up to date: {done.after}.")
    elif check:
        fail(
            f"the schema is {done.before}, this version needs {done.after}; "
            f"run: {command('migrate')}"
        )
    elif not as_json:
        write(f"The schema is {done.after} now; before, {done.before or 'there was none'}.")
