"""`python -m benchmarks.page`: the page of figures in the docs, from the JSON of `make bench`.

A run of all parts, or several of some parts each: what a later run measured takes the place of the
same part of an earlier one, but a small run's not that of a whole one. Every figure stands under
the date, machine and commit of its run; below are those of earlier runs (`history`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import history
from benchmarks.measure import RESULTS
from benchmarks.parts import TITLES

BAR = "\\|"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "benchmarks.md"

INTRODUCTION = """\
# Benchmarks

<!-- Written by `make bench-page` from the JSON of `make bench`; changes here are lost. -->

`make bench` (some forty minutes, ten of them the soak) measures the pipeline beside its limit (a bare COPY, a bare
INSERT) and beside what others do (an ORM, Celery, FastAPI), on generated events of 2.7 KB and an embedded PostgreSQL
with fsync on. Sender, pipeline and PostgreSQL share the cores. `make bench PART=enrich` measures one part, `make bench
PART=--quick` all of them small, in one round. `make bench-page` writes this page from what was measured last. `make
bench-compare BASE=commit PART=enrich` measures another commit and the working tree round by round in turn.

Machines are noisy, and a *load* above the number of cores says that others were at work: read the ratios, which
compare rounds that were run in turn. *Asked for* is the ratio or the value that the project sets itself."""

NOTES = {
    "enrich": "*Cold*: the outputs of all action inputs have to be derived first; *warm*: they are there.",
    "load": "The import parses in a process for each core, a bare COPY runs on one connection. What the import sends is "
    "compressed: (j) is a COPY of the same bytes into the columns of `raw_event`.",
    "grow": "Each time as many events more, a tenth of them with inputs of their own; `--times 25` ends at 25 times. "
    "Those of the same hours go to places all over the indexes, the worst case; those of the next hour come as traffic "
    "comes.",
    "fresh": "Single events, sent to `enrichment-pipeline up` as it is by default.",
    "browsers": "Each is a connection to `enrichment-pipeline up` as it is by default. It sends a request with one event, "
    "and a random time after the answer the next. The sender, which shares the cores, knows when each was due.",
    "scaled": "From the acknowledgement of an event to its enriched row, with RabbitMQ and one worker, and without.",
}


EARLIER = """\
## Earlier runs

Whole runs, the last on the right, from `benchmarks/history.csv`. Read the ratios; values depend on what else the machine
had to do (*load*). A cell is empty where a run did not measure it."""


def _rank(run: Mapping[str, Any]) -> tuple[bool, str]:
    """Later runs count more, and whole ones more than small ones."""
    return not run["settings"]["quick"], run["settings"]["date"]


def page(runs: Sequence[Mapping[str, Any]], lines: Sequence[history.Line] = ()) -> str:
    """The page of these runs and of the history, as Markdown; each part stands where it was
    measured last."""
    latest = {part: run for run in runs for part in _parts(run)}
    sections = [
        "\n\n".join([_heading(run), *(_part(run, part) for part in mine)])
        for run in runs
        if (mine := [part for part in TITLES if latest.get(part) is run])
    ]
    earlier = [_table(columns, rows) for columns, *rows in history.tables(lines)]
    if earlier:
        earlier.insert(0, EARLIER)
    return "\n\n".join([INTRODUCTION, *reversed(sections), *earlier]) + "\n"


def _parts(run: Mapping[str, Any]) -> set[str]:
    return {one["part"] for one in (*run["rates"], *run["facts"])}


def _heading(run: Mapping[str, Any]) -> str:
    ran = run["settings"]
    size = "small (`--quick`)" if ran["quick"] else "whole"
    return (
        f"## Measured on {ran['date'][:10]}, commit {ran['commit']}\n\n"
        f"{ran['cores']} cores of {ran['processor'] or ran['machine']}, {ran['memory_gb']} GB; "
        f"Python {ran['python']}; load before the run {ran['load']}; {size}, "
        f"{ran['events']:,} events, rounds: {ran['rounds']}."
    )


def _part(run: Mapping[str, Any], part: str) -> str:
    rates = [_rate(one) for one in run["rates"] if one["part"] == part]
    facts = [
        (one["name"], one["value"], one["target"]) for one in run["facts"] if one["part"] == part
    ]
    pieces = [f"### {TITLES[part]}"]
    if part in NOTES:
        pieces.append(NOTES[part])
    if rates:
        pieces.append(_table(("measured", "events/s", "against", "ratio", "asked for"), rates))
    if facts:
        pieces.append(_table(("measured", "value", "asked for"), facts))
    return "\n\n".join(pieces)


def _rate(one: Mapping[str, Any]) -> tuple[str, ...]:
    ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
    target = "" if one["target"] is None else f"{one['target']:,g}"
    return (one["name"], f"{one['rate']:,.0f}", one["against"] or "", ratio, target)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def lines() -> Iterator[str]:
        for cells in (columns, ["---"] * len(columns), *rows):
            yield f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"

    return "\n".join(lines())


def main(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="JSON of runs.", show_default="benchmarks/results/*"),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = PAGE,
    kept: Annotated[
        Path, typer.Option("--history", help="CSV of earlier runs; whole ones are appended.")
    ] = history.FILE,
) -> None:
    """Write the page of the benchmarks in the docs.

    Example: python -m benchmarks.page benchmarks/results/bench.json
    """
    found = [json.loads(file.read_text()) for file in files or sorted(RESULTS.glob("*.json"))]
    runs = sorted(found, key=_rank)
    if not runs:
        raise SystemExit(f"nothing was measured: no JSON in {RESULTS}; run `make bench` first")
    lines = history.with_runs(history.read(kept), runs)
    history.write(kept, lines)
    out.write_text(page(runs, lines), encoding="utf-8")
    typer.echo(f"written to {out}, and what whole runs measured to {kept}")


if __name__ == "__main__":
    typer.run(main)
