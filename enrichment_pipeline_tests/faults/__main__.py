"""`make faults`: inject every fault under load, and print what became of the events."""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from enrichment_pipeline_tests.faults.injections import FAULTS, Fault
from enrichment_pipeline_tests.faults.machine import MACHINE_FAULTS, machine
from enrichment_pipeline_tests.faults.stage import Accounts, Load, Stage, accounts, staged

RESULTS = Path(__file__).parent / "results" / "faults.json"

_LASTS_SECONDS = 60.0
_LASTS_SECONDS_SHORT = 5.0
_BEFORE_SECONDS = 2.0
_BETWEEN_SECONDS = 2.0
_RECOVER_SECONDS = 180.0
_ALERT_SECONDS = 60.0

console = Console()


@dataclass(frozen=True)
class Outcome:
    """What became of one fault."""

    fault: str
    injected: int
    under_way: int
    lost: int
    doubled: int
    dead: int
    seconds_to_recover: float
    alerts: str
    wrong: str
    """What is not as it has to be; empty, if all is."""


def main(
    short: Annotated[bool, typer.Option(help="Faults that last, last 5 s, not a minute.")] = False,
    only: Annotated[str | None, typer.Option(help="Only faults with this in their name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path, typer.Option(help="Where the JSON goes.")] = RESULTS,
) -> None:
    """Inject every fault into real processes under load. Ends with 1 where an event was lost or
    doubled, the books do not balance, or something was not alerted.

    Example: python -m enrichment_pipeline_tests.faults --short --only postgresql
    """
    lasts = _LASTS_SECONDS_SHORT if short else _LASTS_SECONDS
    chosen, of_machine = _named(FAULTS, only), _named(MACHINE_FAULTS, only)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as folder:
        shared = [fault for fault in chosen if fault.home is None]
        if shared:
            with staged(Path(folder) / "shared") as stage:
                for fault in shared:
                    outcomes.append(_tried(stage, fault, lasts))
                    _say(outcomes[-1])
        for number, fault in enumerate(fault for fault in chosen if fault.home):
            outcomes.append(_on_a_stage_of_its_own(fault, Path(folder) / f"{number}", lasts))
            _say(outcomes[-1])
        if of_machine:
            with machine(Path(folder) / "machine") as up:
                for fault in of_machine:
                    outcomes.append(_tried(up, fault, lasts))
                    _say(outcomes[-1])
    rows = [asdict(outcome) for outcome in outcomes]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    if as_json:
        console.print_json(json.dumps(rows))
    else:
        _print(outcomes)
    if any(outcome.wrong for outcome in outcomes):
        raise typer.Exit(1)


def _named(faults: Sequence[Fault], words: str | None) -> list[Fault]:
    return [fault for fault in faults if (words or "").lower() in fault.name.lower()]


def _on_a_stage_of_its_own(fault: Fault, folder: Path, lasts: float) -> Outcome:
    if reason := fault.cannot():
        return _not_tried(fault, reason)
    assert fault.home
    with ExitStack() as stack:
        home = stack.enter_context(fault.home(folder))
        stage = stack.enter_context(staged(home))
        return _tried(stage, fault, lasts)


def _tried(stage: Stage, fault: Fault, lasts: float) -> Outcome:
    if reason := fault.cannot():
        return _not_tried(fault, reason)
    stage.alerts.kinds.clear()
    before = accounts(stage, set())
    wrong = ""
    with Load(stage.port) as load:
        time.sleep(_BEFORE_SECONDS)
        for _ in range(fault.times):
            fault.inject(stage, load, lasts)
            time.sleep(_BETWEEN_SECONDS)
        over = time.monotonic() - _BETWEEN_SECONDS
        during = set(load.acknowledged)
        try:
            # The sender goes on: the pipeline has to catch up while events come in.
            stage.wait_until(
                lambda: accounts(stage, during).lost == 0, fault.name, _RECOVER_SECONDS
            )
        except TimeoutError:
            wrong = "not all is there"
        recovered = time.monotonic() - over
    found = _at_rest(stage, load)
    dead = found.dead - before.dead
    alerts = _heard(stage, fault)
    return Outcome(
        fault.name,
        fault.times,
        found.under_way,
        found.lost,
        found.doubled - before.doubled,
        dead,
        round(recovered, 1),
        ", ".join(sorted(alerts)) or "nothing",
        wrong or _wrong(fault, found, dead, alerts),
    )


def _at_rest(stage: Stage, load: Load) -> Accounts:
    """What became of all that was acknowledged, once nothing is pending."""
    deadline = time.monotonic() + _RECOVER_SECONDS
    while True:
        found = accounts(stage, load.acknowledged)
        # What became enriched between two looks is on neither side of one.
        if not (found.pending or found.lost) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def _heard(stage: Stage, fault: Fault) -> set[str]:
    deadline = time.monotonic() + _ALERT_SECONDS
    while not fault.alerts <= stage.alerts.kinds and time.monotonic() < deadline:
        time.sleep(0.2)
    return set(stage.alerts.kinds)


def _wrong(fault: Fault, found: Accounts, dead: int, alerts: set[str]) -> str:
    wrong = {
        "events were lost": found.lost > 0,
        "events are double": found.doubled > 0,
        "something is pending": found.pending > 0,
        "the books do not balance": not found.balances,
        f"{fault.dead * fault.times} events had to die": dead != fault.dead * fault.times,
        "there was no alert": not fault.alerts <= alerts,
    }
    return ", ".join(name for name, is_so in wrong.items() if is_so)


def _not_tried(fault: Fault, reason: str) -> Outcome:
    # Where everything must run, what cannot be tried is a failure.
    wrong = reason if "CI" in os.environ else ""
    return Outcome(fault.name, 0, 0, 0, 0, 0, 0.0, f"not tried: {reason}", wrong)


def _say(outcome: Outcome) -> None:
    console.print(f"  {outcome.fault}: {outcome.wrong or 'as it has to be'}", highlight=False)


def _print(outcomes: list[Outcome]) -> None:
    names = ("fault", "injected", "under way", "lost", "doubled", "dead", "recovered", "reported")
    table = Table(*names, title="make faults")
    for outcome in outcomes:
        table.add_row(
            outcome.fault,
            *(
                f"{number:,}"
                for number in (
                    outcome.injected,
                    outcome.under_way,
                    outcome.lost,
                    outcome.doubled,
                    outcome.dead,
                )
            ),
            f"{outcome.seconds_to_recover:g} s",
            outcome.alerts,
            style="red" if outcome.wrong else None,
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
