"""`enrichment-pipeline count`, `funnel`, `paths`, `compare`, `retention`: numbers, and the sessions
behind each number.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer
from sqlalchemy import Connection

from enrichment_pipeline.analytics.answers import Answer
from enrichment_pipeline.analytics.asking import MOST_HOURS, PREVIOUS, Asked
from enrichment_pipeline.analytics.comparison import compare as compare_of
from enrichment_pipeline.analytics.paths import MOST_ACTS
from enrichment_pipeline.analytics.paths import paths as paths_of
from enrichment_pipeline.analytics.questions import count as count_of
from enrichment_pipeline.analytics.questions import funnel as funnel_of
from enrichment_pipeline.analytics.retention import Every
from enrichment_pipeline.analytics.retention import retention as retention_of
from enrichment_pipeline.analytics.steps import HOW
from enrichment_pipeline.cli.console import print_json, print_table, records, say
from enrichment_pipeline.cli.moments import From, To, parse_moment, parse_period
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.analytics.counting import By
from enrichment_pipeline.store.analytics.paths import Direction
from enrichment_pipeline.store.database.engine import existing_store

Where = Annotated[
    str | None, typer.Option(help="Only events of which this is true, written as a step.")
]
CompareTo = Annotated[
    str | None,
    typer.Option(help=f"An earlier time of the same length: its first day, or `{PREVIOUS}`."),
]
Project = Annotated[str | None, typer.Option(help="Of this project alone.")]
Person = Annotated[
    str | None, typer.Option(help="Of this person: a distinct_id, or a name as person_….")
]
Within = Annotated[
    float | None,
    typer.Option(
        min=0.01, max=MOST_HOURS, help="Follow people for so many hours, not single sessions."
    ),
]
Limit = Annotated[int, typer.Option(min=1, help="So many rows.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def count(
    by: Annotated[By, typer.Option(help="A row for each of these.")] = "event",
    where: Where = None,
    first: From = None,
    end: To = None,
    compare_to: CompareTo = None,
    person: Person = None,
    project: Project = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Count events, sessions and people by event, page, element touched, signal, time or other.

    Without --from, of the seven days before --to, or before the newest event. With --compare-to,
    what has changed most comes first.

    Examples: [bold]enrichment-pipeline count --by page --where signal=rage_click[/],
    [bold]enrichment-pipeline count --by touched --where page=/checkout --from 2026-11-27[/],
    [bold]enrichment-pipeline count --by signal --from 2026-11-27 --compare-to previous[/]
    """
    asked = _asked(first, end, compare_to, person, project, where)
    _answer(lambda connection: count_of(connection, asked, by=by, limit=limit), as_json)


def funnel(
    steps: Annotated[list[str], typer.Argument(help=f"In their order: {HOW}.")],
    within: Within = None,
    where: Where = None,
    first: From = None,
    end: To = None,
    compare_to: CompareTo = None,
    person: Person = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Count the sessions that come from step to step, where they stop, and what they do instead.

    Examples: [bold]enrichment-pipeline funnel /cart /checkout "order placed"[/],
    [bold]enrichment-pipeline funnel "touched=Buy now" "event=order placed" --within 48[/],
    [bold]enrichment-pipeline funnel /cart /checkout --from 2026-11-27 --compare-to previous[/]
    """
    asked = _asked(first, end, compare_to, person, project, where)
    window = timedelta(hours=within) if within else None
    _answer(lambda connection: funnel_of(connection, asked, steps, window=window), as_json)


def paths(
    step: Annotated[str, typer.Argument(help=f"One step: {HOW}.")],
    direction: Annotated[Direction, typer.Option(help="On which side of the step.")] = "after",
    depth: Annotated[int, typer.Option(min=1, max=MOST_ACTS, help="Up to so many acts.")] = 3,
    within: Within = None,
    where: Where = None,
    first: From = None,
    end: To = None,
    person: Person = None,
    project: Project = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show what sessions do right after a step, or right before it: the most common sequences.

    Without --from, of the seven days before --to, or before the newest event.

    Examples: [bold]enrichment-pipeline paths /checkout[/],
    [bold]enrichment-pipeline paths "event=order placed" --direction before --depth 2[/],
    [bold]enrichment-pipeline paths /pricing --within 48 --where "device=Safari on iPhone"[/]
    """
    asked = _asked(first, end, None, person, project, where)
    window = timedelta(hours=within) if within else None
    _answer(
        lambda connection: paths_of(
            connection, asked, step, direction=direction, depth=depth, window=window, limit=limit
        ),
        as_json,
    )


def compare(
    step: Annotated[str, typer.Argument(help=f"What one side has: {HOW}.")],
    against: Annotated[
        str | None, typer.Option(help="What the other side has; without it: not the first.")
    ] = None,
    where: Where = None,
    first: From = None,
    end: To = None,
    person: Person = None,
    project: Project = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show in what the sessions with a step differ most from those without it: events, touched
    elements, pages, signals, devices, releases. What chance explains is left out.

    Without --from, of the seven days before --to, or before the newest event.

    Examples: [bold]enrichment-pipeline compare "event=order placed"[/],
    [bold]enrichment-pipeline compare signal=rage_click --where page=/checkout[/],
    [bold]enrichment-pipeline compare page=/pricing --against page=/docs*[/]
    """
    asked = _asked(first, end, None, person, project, where)
    _answer(
        lambda connection: compare_of(connection, asked, step, against=against, limit=limit),
        as_json,
    )


def retention(
    step: Annotated[
        str | None, typer.Argument(help=f"Without one, any act. {HOW}.", show_default=False)
    ] = None,
    back: Annotated[
        str | None, typer.Option(help="What they came back for; without it: the step again.")
    ] = None,
    every: Annotated[Every, typer.Option(help="How long a period is.")] = "week",
    where: Where = None,
    first: From = None,
    end: To = None,
    person: Person = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Count the people who took a step for the first time in a week or a day, and how many of them
    came back in each later one.

    Without --from, of eight weeks (from Monday) or days, with that of --to or the newest event as
    the last; otherwise periods begin with --from.

    Examples: [bold]enrichment-pipeline retention[/],
    [bold]enrichment-pipeline retention "event=order placed" --every day[/],
    [bold]enrichment-pipeline retention /signup --back "event=order placed" --from 2026-11-02[/]
    """
    asked = _asked(first, end, None, person, project, where)
    _answer(
        lambda connection: retention_of(connection, asked, step, back=back, every=every), as_json
    )


def _asked(
    first: str | None,
    end: str | None,
    compare_to: str | None,
    person: str | None,
    project: str | None,
    where: str | None,
) -> Asked:
    start, stop = parse_period(first, end)
    if compare_to is None or compare_to == PREVIOUS:
        return Asked(start, stop, project, person, where, compare_to)
    before = parse_moment("--compare-to", compare_to)
    return Asked(start, stop, project, person, where, before)


def _answer(ask: Callable[[Connection], Answer], as_json: bool) -> None:
    with existing_store(load_settings()) as store, store.transaction() as connection:
        answer = ask(connection)
    if as_json:
        print_json({"summary": answer.summary, "rows": records(answer.columns, answer.rows)})
        return
    say(answer.summary)
    if answer.rows:
        print_table(answer.columns, answer.rows)
