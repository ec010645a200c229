"""`make brokers`: let every broker go through every trial, and print what became of the events."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from enrichment_pipeline_tests.conformance.accounts import (
    await_rest,
    batches_after,
    latency_after,
    messages_about,
    newest_batch,
)
from enrichment_pipeline_tests.conformance.stage import Stage, staged
from enrichment_pipeline_tests.conformance.trials import TRIALS, Trial
from enrichment_pipeline_tests.faults.stage import Load, accounts
from enrichment_pipeline_tests.workers.parts import PARTS
from enrichment_pipeline_tests.workers.parts.part import Part

RESULTS = Path(__file__).parent / "results" / "brokers.json"

_LASTS_SECONDS = 30.0
_LASTS_SECONDS_SHORT = 4.0
_BEFORE_SECONDS = 1.0

console = Console(width=160)


@dataclass(frozen=True)
class Outcome:
    """What became of one trial."""

    broker: str
    stands_in: str | None
    trial: str
    events: int
    lost: int
    doubled: int
    dead: int
    batches: int
    never_delivered: int
    repeated: int
    sensor_runs: int
    p50: float
    p99: float
    wrong: str
    """What is not as it has to be; empty, if all is."""


def main(
    short: Annotated[bool, typer.Option(help="What lasts, lasts 4 s, not 30.")] = False,
    broker: Annotated[
        list[str] | None, typer.Option(help="Only this one, by its name; may be repeated.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Only trials with this in their name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = RESULTS,
) -> None:
    """Let brokers go through trials under load. Ends with 1 where an event was lost or doubled, or
    the books do not balance.

    Example: python -m enrichment_pipeline_tests.conformance --short --broker RabbitMQ
    """
    lasts = _LASTS_SECONDS_SHORT if short else _LASTS_SECONDS
    trials = [trial for trial in TRIALS if (only or "").lower() in trial.name.lower()]
    outcomes: list[Outcome] = []
    for kind in PARTS:
        if not broker or kind.name.lower() in {name.lower() for name in broker}:
            outcomes += _tried_all(kind, trials, lasts)
    rows = [asdict(outcome) for outcome in outcomes]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if as_json:
        console.print_json(json.dumps(rows))
    else:
        _print(outcomes)
    if any(outcome.wrong for outcome in outcomes):
        raise typer.Exit(1)


def _tried_all(kind: type[Part], trials: Sequence[Trial], lasts: float) -> list[Outcome]:
    if reason := kind.cannot():
        console.print(f"{kind.name}: not tried: {reason}")
        # Where everything must run, what cannot be tried is a failure.
        if "CI" in os.environ:
            raise typer.Exit(1)
        return []
    console.print(f"{kind.name}{f', {kind.stands_in}' if kind.stands_in else ''}")
    outcomes = []
    folder = Path(tempfile.mkdtemp(prefix="brokers-"))
    (folder / "broker").mkdir()
    with kind(folder / "broker") as part, staged(folder / "home", part) as stage:
        # Processes have started, and joined what there is to join.
        with Load(stage.port) as load:
            await_rest(stage, load)
        for trial in trials:
            outcomes.append(_tried(stage, trial, lasts))
            console.print(f"  {trial.name}: {outcomes[-1].wrong or 'as it has to be'}")
    if any(outcome.wrong for outcome in outcomes):
        console.print(f"  what the processes said: {folder / 'home' / 'stage.log'}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return outcomes


def _tried(stage: Stage, trial: Trial, lasts: float) -> Outcome:
    before = accounts(stage, set())
    after_batch, runs = newest_batch(stage), stage.sensor.runs
    wrong: list[str] = []
    with Load(stage.port) as load:
        time.sleep(_BEFORE_SECONDS)
        try:
            trial.act(stage, load, lasts)
        except Exception as error:  # noqa: BLE001  it is reported, and the others are tried
            wrong.append(f"{type(error).__name__}: {error}")
    await_rest(stage, load)
    found = accounts(stage, load.acknowledged)
    messages = messages_about(stage, batches_after(stage, after_batch))
    latency = latency_after(stage, after_batch)
    dead = found.dead - before.dead
    doubled = found.doubled - before.doubled
    checks = {
        "events were lost": found.lost > 0,
        "events are double": doubled > 0,
        "something is pending": found.pending > 0,
        "the books do not balance": not found.balances,
        f"{trial.dead} events had to die": dead != trial.dead,
    }
    wrong += [name for name, is_so in checks.items() if is_so]
    return Outcome(
        broker=stage.part.name,
        stands_in=stage.part.stands_in,
        trial=trial.name,
        events=found.under_way,
        lost=found.lost,
        doubled=doubled,
        dead=dead,
        batches=messages.batches,
        never_delivered=messages.never_delivered,
        repeated=messages.repeated,
        sensor_runs=stage.sensor.runs - runs,
        p50=round(latency.p50, 3),
        p99=round(latency.p99, 3),
        wrong=", ".join(wrong),
    )


def _print(outcomes: Sequence[Outcome]) -> None:
    names = (
        *("trial", "events", "lost", "doubled", "dead", "batches notified", "never delivered"),
        *("repeated", "sensor runs", "p50 s", "p99 s"),
    )
    for broker in dict.fromkeys((outcome.broker, outcome.stands_in) for outcome in outcomes):
        table = Table(*names, title=f"{broker[0]}{f', {broker[1]}' if broker[1] else ''}")
        for row in outcomes:
            if row.broker == broker[0]:
                cells = (row.events, row.lost, row.doubled, row.dead, row.batches)
                more = (row.never_delivered, row.repeated, row.sensor_runs)
                table.add_row(
                    row.trial,
                    *(f"{number:,}" for number in (*cells, *more)),
                    f"{row.p50:.3f}",
                    f"{row.p99:.3f}",
                    style="red" if row.wrong else None,
                )
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
