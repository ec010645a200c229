"""`python -m benchmarks.show`: the tables of a run of `make bench`, in a terminal.

What is printed comes from the JSON of the run. The page in the docs belongs to `page`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.parts import TITLES

console = Console()


def print_run(run: Mapping[str, Any]) -> None:
    """Print what a run has measured, part by part: figures stand whole, however narrow the
    terminal; words are folded."""
    for part in dict.fromkeys(one["part"] for one in (*run["rates"], *run["facts"])):
        console.print(f"\n[bold]{TITLES.get(part, part)}[/]")
        rates = [one for one in run["rates"] if one["part"] == part]
        facts = [one for one in run["facts"] if one["part"] == part]
        if rates:
            console.print(_table_of_rates(rates))
        if facts:
            console.print(_table_of_facts(facts))


def _table_of_rates(rates: list[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True)
    table.add_column("measured", ratio=1)
    for name in ("events/s", "ratio", "target"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in rates:
        # What it is compared with stands below: a column of its own would leave four letters for
        # each of the two.
        against = f"\n  of {one['against']}" if one["against"] else ""
        ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
        target = "" if one["target"] is None else f"{one['target']:,g}"
        table.add_row(one["name"] + against, f"{one['rate']:,.0f}", ratio, target)
    return table


def _table_of_facts(facts: list[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, expand=True)
    table.add_column("measured", ratio=4)
    table.add_column("value", ratio=4)
    if any(one["target"] for one in facts):
        table.add_column("target", ratio=2)
    for one in facts:
        table.add_row(*(one["name"], one["value"], one["target"])[: len(table.columns)])
    return table


def main(
    file: Annotated[Path, typer.Argument(help="JSON of `make bench`.", exists=True)],
) -> None:
    """Print the tables of a run that was kept as JSON.

    Example: python -m benchmarks.show benchmarks/results/bench.json
    """
    print_run(json.loads(file.read_text()))


if __name__ == "__main__":
    typer.run(main)
