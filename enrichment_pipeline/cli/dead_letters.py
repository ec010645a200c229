"""`enrichment-pipeline dead-letters`: the ledger of what failed, and what to do about it.

Choosing letters belongs to `letter_options`, replaying to `replay_letters`, exporting to
`export_letters`.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from enrichment_pipeline.cli.console import fail, print_json, print_table, say
from enrichment_pipeline.cli.export_letters import export
from enrichment_pipeline.cli.letter_options import (
    events,
    filtered,
    filtered_with_states,
    letters,
    meant_letters,
    refuse_everything,
    sum_of,
)
from enrichment_pipeline.cli.replay_letters import replay
from enrichment_pipeline.cli.show import letter_as_json, print_letter, read_letter
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.store.dead_letters.letters import (
    OPEN_STATES,
    STATES,
    LetterCount,
    LetterFilter,
    count_letters_by,
    discard,
    find_letters,
)

_COLUMNS = ("id", "state", "reason", "window (UTC)", "event", "message")
_WHOLE = ("id", "state", "reason", "window (UTC)")
_MOST_TEXT = 200

app = typer.Typer(
    help="The ledger of dead letters: what failed and why; replay it, or discard it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog="Example: [bold]enrichment-pipeline dead-letters list --reason enrichment_raised[/]",
)


@app.command("list")
@filtered_with_states
def list_letters(
    chosen: LetterFilter,
    limit: Annotated[int, typer.Option(min=1, help="So many at the most.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List dead letters, the newest first, and count them by state.

    Without --state or an id: those that are open, replaying or exhausted.

    Examples: [bold]enrichment-pipeline dead-letters list --from 2026-03-01 --kind batch[/],
    [bold]enrichment-pipeline dead-letters list --state exhausted --state discarded --json[/]
    """
    with existing_store(load_settings()) as store, store.transaction() as connection:
        found = find_letters(connection, chosen, limit)
        counts = count_letters_by(connection, chosen._replace(states=STATES), "state")
    if as_json:
        totals = {state: _count(counts, state)._asdict() for state in STATES}
        print_json({"totals": totals, "letters": found})
        return
    if found:
        print_table(_COLUMNS, [_row(letter) for letter in found], whole=_WHOLE)
        more = sum_of({state: _count(counts, state) for state in chosen.states}).letters
        if more > len(found):
            say(f"The newest {len(found):,} of {letters(more)}; --limit shows more.")
    say(_totals(chosen, counts, any_found=bool(found)))


def _totals(chosen: LetterFilter, counts: Mapping[str, LetterCount], *, any_found: bool) -> str:
    totals = " · ".join(
        f"{state} {counts[state].letters:,} ({events(counts[state].events)})"
        for state in STATES
        if state in counts
    )
    if any_found:
        return totals
    if counts:
        return f"No dead letter is {_or(chosen.states)}; there are: {totals}"
    return "No dead letters." if chosen.is_everything else "No dead letter is like that."


def _or(states: Sequence[str]) -> str:
    # "Open" stands for every state in which a person still has to do something.
    return "open" if tuple(states) == OPEN_STATES else " or ".join(states)


def _count(counts: Mapping[str, LetterCount], state: str) -> LetterCount:
    return counts.get(state, LetterCount(0, 0))


def _row(letter: Mapping[str, object]) -> tuple[object, ...]:
    event = letter["event"]
    if letter["kind"] == "batch":
        event = f"batch of {letter['event_count']:,}"
    return (
        letter["id"],
        letter["state"],
        letter["reason_code"],
        f"{letter['window_start']:%Y-%m-%d %H:%M}",
        event,
        str(letter["message"])[:_MOST_TEXT],
    )


@app.command("show")
def show_letter(
    letter: Annotated[str, typer.Argument(metavar="ID", help="The id of a dead letter.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show one dead letter whole: why, when, its traceback, and its payload as it arrived.

    For a batch, its first events are shown.

    Example: [bold]enrichment-pipeline dead-letters show 7[/]
    """
    found, sample = read_letter(letter)
    if as_json:
        print_json(letter_as_json(found, sample))
    else:
        print_letter(found, sample)


app.command("replay")(replay)


@app.command("discard")
@filtered
def discard_letters(
    chosen: LetterFilter,
    because: Annotated[str, typer.Option(help="Why; it is kept with them.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Every one that is open.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Close dead letters for good, saying why.

    Their rows stay, with the reason; their events stay dead in the books.

    Example: [bold]enrichment-pipeline dead-letters discard --event test_event --because "ours"[/]
    """
    refuse_everything(chosen, "discard", every=every)
    note = because.strip()
    if not (note or dry_run):
        fail('why? Add --because "…", which is kept with the letters')
    if not (dry_run or yes or sys.stdin.isatty()):
        fail("this is for good, and there is no terminal to ask on: add --yes")
    with existing_store(load_settings()) as store:
        with store.transaction() as connection:
            meant = meant_letters(connection, chosen)
        done = LetterCount(0, 0)
        if meant.total.letters and not dry_run:
            if not yes:
                meant.print()
                typer.confirm("Discard them for good?", abort=True, err=True)
            with store.transaction() as connection:
                done = discard(connection, chosen, note)
    if as_json:
        print_json({"dry_run": dry_run, "meant": meant.figures, "discarded": done._asdict()})
    elif not meant.total.letters:
        say("No open dead letter is like that.")
    elif dry_run:
        meant.print()
        say(f"{letters(meant.total.letters)} of {events(meant.total.events)} would be discarded.")
    else:
        say(f"{letters(done.letters)} of {events(done.events)} discarded: {note}")


app.command("export")(export)
