"""`enrichment-pipeline errors`: the errors that users ran into."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, get_args

import typer

from enrichment_pipeline.cli.console import fail, print_json, say, write
from enrichment_pipeline.cli.moments import From, To, parse_period
from enrichment_pipeline.llm.errors import (
    ERRORS_OF,
    ErrorGroup,
    ErrorsBy,
    errors_in_all,
    find_errors,
)
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.store.windows.freshness import newest_moment
from enrichment_pipeline.wording import counted

_BY = get_args(ErrorsBy)


def errors(
    by: Annotated[str, typer.Option(help=f"What makes one line: {', '.join(_BY)}.")] = "message",
    contains: Annotated[
        str | None, typer.Option(help="With this text in the type or the message.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Of this project alone.")] = None,
    first: From = None,
    end: To = None,
    limit: Annotated[int, typer.Option(min=1, help="So many, the most frequent.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the errors that users ran into, the most frequent first; masked.

    Without --from, those of the seven days before --to, or before the newest event.

    Examples: [bold]enrichment-pipeline errors[/],
    [bold]enrichment-pipeline errors --by release --contains TypeError --from 2026-11-27[/]
    """
    kind: ErrorsBy | None = next((one for one in _BY if one == by), None)
    if kind is None:
        fail(f"--by {by!r} is none; there are {', '.join(_BY)}")
    start, stop = parse_period(first, end)
    with existing_store(load_settings()) as store, store.transaction() as connection:
        newest = newest_moment(connection) or datetime.now(UTC)
        stop = stop or max(newest, start or newest) + timedelta(seconds=1)
        start = start or stop - ERRORS_OF
        found = find_errors(connection, start, stop, by=kind, project=project, contains=contains)
    shown = found.groups[:limit]
    if as_json:
        print_json([group._asdict() for group in shown])
        return
    if not shown:
        say(f"No such error from {start:%Y-%m-%d %H:%M} to {stop:%Y-%m-%d %H:%M} UTC.")
        return
    say(f"{errors_in_all(found)}:")
    for group in shown:
        _write(group)


def _write(group: ErrorGroup) -> None:
    hit = f"{counted(group.sessions, 'session')}, {counted(group.people, 'person', 'people')}"
    seen = f"{group.first_seen:%Y-%m-%d %H:%M} to {group.last_seen:%Y-%m-%d %H:%M}"
    write(f"{group.errors:,}  {group.value}  {hit}  {seen}")
    if group.message:
        write(f'    "{group.message}"')
    where = [
        *([group.place] if group.place else []),
        *group.pages,
        *group.browsers,
        *group.releases,
    ]
    if where:
        write(f"    {', '.join(where)}")
    if group.session_ids:
        write(f"    {', '.join(group.session_ids)}")
