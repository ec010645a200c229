"""`enrichment-pipeline timeline`: what happened in one session, for a person or a model."""

from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, write
from enrichment_pipeline.llm.rendering import FEWEST_TOKENS, Form, render
from enrichment_pipeline.llm.sessions import SessionNotFoundError, newest_timeline_of, timeline_of
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.wording import command


def timeline(
    session: Annotated[
        str | None, typer.Argument(help="The session's id, as `sessions list` shows it.")
    ] = None,
    person: Annotated[
        str | None,
        typer.Option(help="The newest session of whoever has this distinct_id, instead."),
    ] = None,
    project: Annotated[str | None, typer.Option(help="Where several have such a session.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=FEWEST_TOKENS,
            help="Keep what matters most in so many tokens, and say what was left out.",
        ),
    ] = None,
) -> None:
    """Show what happened in a session up to now; it may still be going on.

    The text is masked and short, to be given to a language model.

    Examples:
    [bold]enrichment-pipeline timeline 0199d1c2-3b07-7f30-a2a5-6d3f0e4b9c11[/],
    [bold]enrichment-pipeline timeline --person user-42 --max-tokens 800[/]
    """
    if (session is None) == (person is None):
        fail(f"name a session or --person; `{command('sessions list')}` shows the sessions")
    if markdown and as_json:
        fail("--markdown and --json: choose one")
    form: Form = "markdown" if markdown else "json" if as_json else "text"
    with existing_store(load_settings()) as store, store.transaction() as connection:
        try:
            if session is not None:
                found = timeline_of(connection, session, project=project)
            else:
                found = newest_timeline_of(connection, str(person), project=project)
        except SessionNotFoundError as error:
            fail(f"{error}; `{command('sessions list')}` shows those there are")
    write(render(found, form, max_tokens))
