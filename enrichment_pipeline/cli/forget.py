"""`enrichment-pipeline forget`: remove a person from every table."""

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, out, print_json, print_table
from enrichment_pipeline.events.people import People
from enrichment_pipeline.orchestration.forgetting import forget_in_dagster
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, existing_store
from enrichment_pipeline.store.ingest.people import also_known_as
from enrichment_pipeline.store.lifecycle.forget import ForgetReport, Forgotten, forget_events
from enrichment_pipeline.store.queue.unused_inputs import forget_unused_inputs
from enrichment_pipeline.wording import counted


@dataclass
class _Outcome:
    """What was removed, or in a dry run would be."""

    events: ForgetReport = field(default_factory=ForgetReport)
    in_dagster: int = 0
    inputs: int | None = None
    """None in a dry run: which inputs no other event has is known only after the removal."""
    also_known_as: dict[str, list[str]] = field(default_factory=dict)


def forget(
    distinct_ids: Annotated[
        list[str] | None, typer.Argument(metavar="DISTINCT_ID", help="Whom to forget.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="A file with more of them, one a line; - reads them.")
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Only in this project; else in all of them.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Forget people: remove their events, enriched events, dead letters, and errors that name them.

    This cannot be undone. The books go on to balance, and the table forgotten says how many events
    of each window were removed. The keys of the events stay, so that an event that is sent again
    stays out.

    Example: [bold]enrichment-pipeline forget user@shop.example --dry-run[/]
    """
    people = People(_named(distinct_ids or [], file))
    if not people.distinct_ids:
        fail("whom? Name a DISTINCT_ID, or a --file with one a line")
    if not (dry_run or yes or _can_ask()):
        fail("this removes events for good, and there is no terminal to ask on: add --yes")
    with existing_store(load_settings()) as store:
        if not (dry_run or yes):
            _ask(store, people, project)
        outcome = _forget(store, people, project, dry_run=dry_run)
    if as_json:
        print_json(_figures(outcome, dry_run=dry_run))
    else:
        _print(outcome, dry_run=dry_run)


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _named(distinct_ids: list[str], file: Path | None) -> list[str]:
    if file is None:
        return distinct_ids
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        fail(f"--file {file} cannot be read: {error}")
    return [*distinct_ids, *(line for line in text.splitlines() if line.strip())]


def _ask(store: Store, people: People, project: str | None) -> None:
    outcome = _forget(store, people, project, dry_run=True)
    _print(outcome, dry_run=True)
    typer.confirm("Remove all this for good?", abort=True, err=True)


def _forget(store: Store, people: People, project: str | None, *, dry_run: bool) -> _Outcome:
    with store.transaction() as connection:
        outcome = _Outcome(also_known_as=also_known_as(connection, project, people.distinct_ids))
    outcome.events = forget_events(store, people, project, dry_run=dry_run)
    outcome.in_dagster = forget_in_dagster(store, people, dry_run=dry_run)
    if not dry_run:
        outcome.inputs = forget_unused_inputs(store)
    return outcome


def _people(outcome: _Outcome) -> list[dict[str, object]]:
    """What was removed of each person in each project."""
    found: defaultdict[tuple[str, str], list[Forgotten]] = defaultdict(list)
    for row in outcome.events.events:
        found[row.project, row.distinct_id].append(row)
    return [
        {
            "project": project,
            "distinct_id": distinct_id,
            "enriched": sum(row.enriched for row in rows),
            "dead": sum(row.dead for row in rows),
            "pending": sum(row.pending for row in rows),
            "windows": len({row.window_start for row in rows}),
            "person": outcome.events.ledger_names[project, distinct_id],
        }
        for (project, distinct_id), rows in sorted(found.items())
    ]


def _figures(outcome: _Outcome, *, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "people": _people(outcome),
        "forgotten_before": outcome.events.forgotten_before,
        "dead_letters": outcome.events.letters,
        "texts": outcome.events.texts,
        "entries_of_dagster": outcome.in_dagster,
        "inputs": outcome.inputs,
        "also_known_as": outcome.also_known_as,
    }


def _print(outcome: _Outcome, *, dry_run: bool) -> None:
    found = _people(outcome)
    if found:
        columns = ("project", "distinct_id", "enriched", "dead", "pending", "windows")
        print_table(columns, [[one[column] for column in columns] for one in found])
    else:
        out.print("No events found.")
    if before := outcome.events.forgotten_before:
        out.print(
            f"{counted(before, 'event was', 'events were')} forgotten before.", highlight=False
        )
    removed = "would be removed" if dry_run else "removed"
    out.print(
        f"{counted(outcome.events.letters, 'dead letter')}, "
        f"{counted(outcome.events.texts, 'text')} and "
        f"{counted(outcome.in_dagster, 'entry')} of Dagster {removed}.",
        highlight=False,
    )
    if outcome.inputs is not None:
        out.print(
            f"{counted(outcome.inputs, 'text')} that nobody else used {removed}.", highlight=False
        )
    for one, others in outcome.also_known_as.items():
        out.print(
            f"{one} is also known as {', '.join(others)}: forget them too, if they are one person.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
