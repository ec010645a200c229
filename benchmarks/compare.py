"""`make bench-compare BASE=commit PART="load"`: the bench of another commit and of the working tree
round by round in turn, so that a slow minute of the machine slows both."""

import json
import re
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Annotated, Any, NamedTuple

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.versions import BenchError, Version
from enrichment_pipeline_tests.versions import UnknownCommitError, full_name, unpack

PROJECT = Path(__file__).parents[1]

# Not those of a name, such as p99.
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w)")

console = Console()
progress = Console(stderr=True)
app = typer.Typer(add_completion=False)

Run = Mapping[str, Any]
_Key = tuple[str, str, int]


class Ratio(NamedTuple):
    """How a number of this version compares with that of the base, round by round."""

    ratio: float
    """The median."""
    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f} ({self.lowest:.2f} to {self.highest:.2f})"


@dataclass
class Figure:
    """Something that was measured, with the medians of the rounds."""

    part: str
    name: str
    base: str = ""
    """Empty where the base does not measure it."""
    here: str = ""
    ratios: list[Ratio | None] = field(default_factory=list)
    """For each number of the value; none at all where the values cannot be compared."""


def compare(base: Sequence[Run], here: Sequence[Run]) -> list[Figure]:
    """What was measured in these rounds, of both versions."""
    ours, theirs = [_texts(run) for run in here], [_texts(run) for run in base]
    names = _names(base[0]) | _names(here[0])
    figures = []
    for key, name in names.items():
        both = [[run.get(key, "") for run in runs] for runs in (theirs, ours)]
        figures.append(_figure(key[0], name, *both))
    return figures


def _entries(run: Run) -> Iterator[tuple[_Key, str, str]]:
    """Key, name and value of everything that a run has measured. A name can contain numbers that
    differ from run to run: those that are alike but for these are told apart by their order."""
    seen: Counter[tuple[str, str]] = Counter()
    rates = [(one, f"{one['rate']:,.1f} events/s") for one in run["rates"]]
    for one, value in (*rates, *((one, str(one["value"])) for one in run["facts"])):
        alike = one.get("part", ""), _NUMBER.sub("#", one["name"])
        seen[alike] += 1
        yield (*alike, seen[alike]), one["name"], value


def _texts(run: Run) -> dict[_Key, str]:
    return {key: value for key, _, value in _entries(run)}


def _names(run: Run) -> dict[_Key, str]:
    return {key: name for key, name, _ in _entries(run)}


def _figure(part: str, name: str, base: Sequence[str], here: Sequence[str]) -> Figure:
    units = {_NUMBER.sub("#", value) for value in (*base, *here)}
    if len(units) > 1:
        return Figure(part, name, base[-1], here[-1])
    old, new = (list(zip(*map(_numbers, values), strict=True)) for values in (base, here))
    ratios = [_ratio(before, now) for before, now in zip(old, new, strict=True)]
    return Figure(part, name, _with_numbers(base[0], old), _with_numbers(here[0], new), ratios)


def _numbers(value: str) -> list[float]:
    return [float(number.replace(",", "")) for number in _NUMBER.findall(value)]


def _ratio(base: Sequence[float], here: Sequence[float]) -> Ratio | None:
    if not all(base):
        return None
    ratios = [now / before for before, now in zip(base, here, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))


def _with_numbers(value: str, numbers: Sequence[Sequence[float]]) -> str:
    """The value with the medians in it, of as many decimals as its own numbers have."""
    medians = iter(numbers)

    def shown(number: re.Match[str]) -> str:
        decimals = len(number[0].partition(".")[2])
        return f"{median(next(medians)):,.{decimals}f}"

    return _NUMBER.sub(shown, value)


def _print(figures: Sequence[Figure]) -> None:
    table = Table(box=box.SIMPLE_HEAD, expand=True)
    for name, ratio in (("measured", 3), ("base", 2), ("here", 2)):
        table.add_column(name, ratio=ratio)
    table.add_column("ratio (spread)", justify="right", no_wrap=True)
    for one in figures:
        ratios = "\n".join(str(ratio or "") for ratio in one.ratios)
        table.add_row(f"{one.part}: {one.name}", one.base, one.here, ratios)
    console.print(table)


@app.command(context_settings={"ignore_unknown_options": True})
def main(
    base: Annotated[str, typer.Argument(help="Commit, branch or tag to compare with.")],
    bench: Annotated[
        list[str] | None, typer.Argument(help="Parts and options of `python -m benchmarks`.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each version, in turn.")] = 3,
    repository: Annotated[
        Path, typer.Option(help="Whose working tree is measured.", show_default="this one")
    ] = PROJECT,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure another commit and the working tree in turn: base, here, base, here.

    Both run with the packages of this virtual environment. Prints the ratio of here to base, the
    median of the rounds, with the lowest and the highest one.

    Example: python -m benchmarks.compare HEAD~3 load --events 50000 --rounds 5
    """
    # So that everything is stopped and removed, however we are asked to end.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        commit = full_name(repository, base)
        with tempfile.TemporaryDirectory(prefix="compare-") as folder:
            runs = _measure(repository, commit, bench or [], rounds, Path(folder))
    except (UnknownCommitError, BenchError) as error:
        sys.exit(str(error))
    figures = compare(*runs)
    if as_json:
        settings = {"base": commit, "here": runs[1][0]["settings"], "bench": bench or []}
        content = [asdict(one) | {"ratios": _as_json(one)} for one in figures]
        print(json.dumps({**settings, "rounds": rounds, "figures": content}, indent=2))
    else:
        _print(figures)


def _as_json(figure: Figure) -> list[dict[str, float] | None]:
    return [None if one is None else one._asdict() for one in figure.ratios]


def _measure(
    repository: Path, commit: str, bench: Sequence[str], rounds: int, folder: Path
) -> tuple[list[Run], list[Run]]:
    """The runs of the base and of the working tree, round by round in turn."""
    unpack(repository, commit, folder / "tree")
    versions = (
        Version(f"base {commit[:9]}", folder / "tree", folder / "base"),
        Version("here", repository, folder / "here"),
    )
    runs: tuple[list[Run], list[Run]] = ([], [])
    for number in range(1, rounds + 1):
        for version, done in zip(versions, runs, strict=True):
            progress.print(f"round {number} of {rounds}: {version.name} …", highlight=False)
            out = folder / f"{version.name}-{number}.json"
            version.bench(bench, out)
            done.append(json.loads(out.read_text()))
    return runs


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    app()
