"""`enrichment-pipeline dead-letters replay`: retry dead letters, and report what came of them. The
replay itself belongs to `enrichment.replay`.
"""

import sys
import time
from dataclasses import dataclass, field
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.cli.console import err, fail, print_json, say
from enrichment_pipeline.cli.letter_options import (
    Meant,
    events,
    filtered,
    letters,
    meant_letters,
    refuse_everything,
)
from enrichment_pipeline.enrichment.path import this_worker
from enrichment_pipeline.enrichment.replay import ReplayReport, replay_marked
from enrichment_pipeline.enrichment.sandbox import SandboxError
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, existing_store
from enrichment_pipeline.store.dead_letters.letters import (
    EXHAUSTED,
    LetterFilter,
    count_letters,
    count_marked,
    mark_for_replay,
    replayable_states,
)
from enrichment_pipeline.wording import command

_INTERRUPTED = 130


@dataclass
class _Outcome:
    """Which letters were chosen, and what came of them."""

    meant: Meant
    skipped: int
    """Exhausted letters that the filters choose, skipped because no id names them."""
    report: ReplayReport = field(default_factory=ReplayReport)
    marked: int = 0
    """Letters that were to be replayed, including those that others had marked."""
    left: int = 0
    """Letters that are still marked."""
    interrupted: bool = False
    seconds: float = 0.0

    @property
    def elsewhere(self) -> int:
        """Letters that another replay took meanwhile."""
        done = self.report.resolved + self.report.failed + self.left
        return max(0, self.marked - done)


@filtered
def replay(
    chosen: LetterFilter,
    every: Annotated[bool, typer.Option("--all", help="Every one that is open.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    rate: Annotated[
        int | None,
        typer.Option(min=1, help="Events per second at the most; else ENRICHMENT_REPLAY_RATE."),
    ] = None,
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Only mark them; Dagster's dead_letter_worker does it."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Retry dead letters, and report the result; ends with 1 where some failed again.

    Nothing is enriched twice, however often a letter is replayed. Exhausted letters, whose replay
    has failed twice, are skipped unless an id names them. After Ctrl-C the same command goes on.

    Examples: [bold]enrichment-pipeline dead-letters replay --reason enrichment_raised --dry-run[/],
    [bold]enrichment-pipeline dead-letters replay 7 8 --rate 100[/]
    """
    refuse_everything(chosen, "replay", every=every)
    settings = load_settings()
    rules = load_rules(settings.rules_file)
    with existing_store(settings) as store:
        outcome = _plan(store, chosen)
        if dry_run or not outcome.meant.total.letters:
            _print_plan(outcome, dry_run=dry_run, as_json=as_json)
            return
        if chosen.is_everything and not yes and sys.stdin.isatty():
            outcome.meant.print()
            typer.confirm("Replay them all?", abort=True, err=True)
        with store.transaction() as connection:
            marked = mark_for_replay(connection, chosen)
        if no_wait:
            _print_marked(outcome, marked.letters, as_json=as_json)
            return
        _drain(store, rules, rate or settings.replay_rate, outcome)
    _print(outcome, as_json=as_json)


def _plan(store: Store, chosen: LetterFilter) -> _Outcome:
    able = chosen._replace(states=replayable_states(chosen))
    with store.transaction() as connection:
        skipped = 0
        if not chosen.ids:
            skipped = count_letters(connection, chosen._replace(states=(EXHAUSTED,))).letters
        return _Outcome(meant_letters(connection, able), skipped)


def _drain(store: Store, rules: Rules, rate: int, outcome: _Outcome) -> None:
    """Replay marked letters, until none is left or a person stops the command."""
    started = time.monotonic()
    with store.transaction() as connection:
        outcome.marked = count_marked(connection).letters
    columns = (
        TextColumn("Letters"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[events]} · {task.fields[failed]:,} failed"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    with bar as progress:
        task = progress.add_task("", total=outcome.marked, events="", failed=0)

        def on_progress(report: ReplayReport) -> None:
            outcome.report = report
            done = report.resolved + report.failed
            progress.update(
                task, completed=done, events=events(report.events), failed=report.failed
            )

        worker = f"dead-letters replay, {this_worker()}"
        try:
            outcome.report = replay_marked(store, rules, worker, rate, on_progress)
        except KeyboardInterrupt:
            outcome.interrupted = True
        except SandboxError as error:
            fail(f"{error}; the letters are still marked, and the same command goes on with them")
    outcome.seconds = time.monotonic() - started
    with store.transaction() as connection:
        outcome.left = count_marked(connection).letters


def _print_plan(outcome: _Outcome, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(_figures(outcome) | {"dry_run": dry_run})
        return
    total = outcome.meant.total
    if total.letters:
        outcome.meant.print()
        say(f"{letters(total.letters)} of {events(total.events)} would be replayed.")
    else:
        say("No dead letter that can be replayed is like that.")
    _print_skipped(outcome)


def _print_marked(outcome: _Outcome, marked: int, *, as_json: bool) -> None:
    if as_json:
        print_json(_figures(outcome) | {"marked": marked})
        return
    say(f"{letters(marked)} marked; Dagster's code location dead_letter_worker replays them.")
    _print_skipped(outcome)


def _print_skipped(outcome: _Outcome) -> None:
    if outcome.skipped:
        say(f"{letters(outcome.skipped)} skipped, being exhausted: name them by id to replay them.")


def _print(outcome: _Outcome, *, as_json: bool) -> None:
    report = outcome.report
    if as_json:
        print_json(_figures(outcome))
    else:
        say(
            f"resolved {report.resolved:,} ({events(report.events)}) · "
            f"failed {report.failed:,}, of which {report.exhausted:,} exhausted · "
            f"{outcome.seconds:.1f} s"
        )
        _print_skipped(outcome)
        if outcome.elsewhere:
            say(f"{letters(outcome.elsewhere)} taken by another replay that is at work.")
    if outcome.interrupted:
        err.print(
            f"Stopped. {letters(outcome.left)} still marked: the same command goes on with them, "
            "and so does Dagster's dead_letter_worker.",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(_INTERRUPTED)
    if report.failed:
        fail(
            f"{letters(report.failed)} failed again: see why with "
            f"`{command('dead-letters list')}`, put it right and replay them "
            "(exhausted ones by their ids), or discard them"
        )


def _figures(outcome: _Outcome) -> dict[str, object]:
    report = outcome.report
    return {
        "dry_run": False,
        "meant": outcome.meant.figures,
        "skipped_exhausted": outcome.skipped,
        "resolved": report.resolved,
        "failed": report.failed,
        "exhausted": report.exhausted,
        "events": report.events,
        "elsewhere": outcome.elsewhere,
        "still_marked": outcome.left,
        "interrupted": outcome.interrupted,
        "seconds": round(outcome.seconds, 3),
    }
