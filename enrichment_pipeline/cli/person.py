"""`enrichment-pipeline person`: what one person did, over several sessions."""

from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, print_json, write
from enrichment_pipeline.cli.moments import From, To, parse_period
from enrichment_pipeline.llm.person import person_report
from enrichment_pipeline.llm.person_forms import (
    FEWEST_TOKENS_OF_PERSON,
    person_as_data,
    person_as_text,
)
from enrichment_pipeline.llm.sessions import SessionNotFoundError
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.wording import command


def person(
    who: Annotated[
        str, typer.Argument(help="A distinct_id, or a name as person_… that `sessions list` shows.")
    ],
    project: Annotated[str | None, typer.Option(help="Where several have such a person.")] = None,
    first: From = None,
    end: To = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=FEWEST_TOKENS_OF_PERSON,
            help="Shorten the sessions to so many tokens, and say what was left out.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what one person did: their sessions with outline and signals, what was new to them, and
    what they began and never finished.

    Without --from, in the week before --to, or before their newest event.

    Examples: [bold]enrichment-pipeline person user-42[/],
    [bold]enrichment-pipeline person person_3f9a12c4d0 --from 2026-11-01 --max-tokens 1500[/]
    """
    start, stop = parse_period(first, end)
    with existing_store(load_settings()) as store, store.transaction() as connection:
        try:
            report = person_report(connection, who, project=project, start=start, end=stop)
        except SessionNotFoundError as error:
            fail(f"{error}; `{command('sessions list')}` shows who there is")
    if as_json:
        print_json(person_as_data(report))
    else:
        write(person_as_text(report, max_tokens))
