"""`enrichment-pipeline sql`: query the store, without being able to change it."""

from typing import Annotated

import typer

from enrichment_pipeline.cli.console import print_json, print_table, records
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.store.reading.query import query


def sql(
    statement: Annotated[str, typer.Argument(help="One SELECT.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run a query on the store, the embedded one too, as a role that cannot write.

    Example: [bold]enrichment-pipeline sql "SELECT description FROM enriched_event LIMIT 5"[/]
    """
    with existing_store(load_settings()) as store:
        result = query(store, statement)
    if as_json:
        print_json(records(result.columns, result.rows))
    else:
        print_table(result.columns, result.rows)
