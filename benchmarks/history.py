"""What earlier runs of `make bench` measured: `history.csv` beside this, kept in git.

A line for each ratio, and for each value that has something asked for it, of each whole run;
`make bench-page` appends them. What the docs say of it belongs to `page`.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.parts import TITLES

FILE = Path(__file__).with_name("history.csv")

_SHOWN_RUNS = 6


class Line(NamedTuple):
    """A ratio or a value of one run."""

    date: str
    commit: str
    """Empty where it was not written down."""
    load: str
    """Of the machine, before the run; empty as above."""
    part: str
    name: str
    against: str
    """What a rate is compared with; empty for a value."""
    value: str


def read(file: Path) -> list[Line]:
    """The lines of a file; none if there is no file yet."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [Line(**line) for line in csv.DictReader(lines)]


def write(file: Path, lines: Iterable[Line]) -> None:
    """Write all lines."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(Line._fields)
        writer.writerows(lines)


def with_runs(lines: Iterable[Line], runs: Iterable[Mapping[str, Any]]) -> list[Line]:
    """These lines and those of the whole ones of these runs, by date. What a commit measured again
    on the same day counts as it was measured last."""
    kept: dict[tuple[str, ...], Line] = {}
    for line in (*lines, *(line for run in runs for line in _of_run(run))):
        key = line.date, line.commit, line.part, line.name, line.against
        kept[key] = line
    return sorted(kept.values(), key=lambda line: line.date)


def _of_run(run: Mapping[str, Any]) -> list[Line]:
    ran = run["settings"]
    if ran["quick"]:
        return []
    when = (ran["date"][:10], ran["commit"] or "", str(ran["load"]))
    ratios = [
        Line(*when, one["part"], one["name"], one["against"], f"{one['ratio']:.2f}")
        for one in run["rates"]
        if one["ratio"] is not None
    ]
    values = [
        Line(*when, one["part"], one["name"], "", one["value"])
        for one in run["facts"]
        if one["target"]
    ]
    return [*ratios, *values]


def tables(lines: Sequence[Line]) -> list[list[tuple[str, ...]]]:
    """The last runs side by side, ratios and values apart; the first row of each names the columns.

    A cell is empty where a run did not measure it."""
    found: list[list[tuple[str, ...]]] = []
    for is_ratio in (True, False):
        some = [line for line in lines if bool(line.against) == is_ratio]
        runs = list(dict.fromkeys((line.date, line.commit) for line in some))[-_SHOWN_RUNS:]
        loads = {(line.date, line.commit): line.load for line in some}
        cells = {(line.part, _shown(line), line.date, line.commit): line.value for line in some}
        names = dict.fromkeys((line.part, _shown(line)) for line in some)
        rows = [
            (name, *(cells.get((part, name, *run), "") for run in runs))
            for part, name in sorted(names, key=lambda one: list(TITLES).index(one[0]))
        ]
        if rows:
            columns = [_heading(*run, loads[run]) for run in runs]
            found.append([("measured", *columns), *(row for row in rows if any(row[1:]))])
    return found


def _shown(line: Line) -> str:
    return f"{line.name}, of {line.against}" if line.against else line.name


def _heading(date: str, commit: str, load: str) -> str:
    return ", ".join([date, *filter(None, [commit, load and f"load {load}"])])
