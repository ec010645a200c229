"""`enrichment-pipeline export`: enriched events and timelines as files."""

import time
from datetime import date, timedelta
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from enrichment_pipeline.cli.console import err, fail, out, print_json
from enrichment_pipeline.cli.moments import check_order
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import existing_store
from enrichment_pipeline.wording import counted


def export(
    what: Annotated[
        Literal["events", "timelines"], typer.Argument(help="Enriched events, or sessions built.")
    ],
    target: Annotated[
        str, typer.Argument(help="A folder, or a URL that fsspec knows, as s3://bucket/folder.")
    ],
    form: Annotated[
        Literal["parquet", "jsonl", "csv"],
        typer.Option("--format", help="JSONL and CSV are compressed with gzip."),
    ] = "parquet",
    first: Annotated[
        str | None, typer.Option("--from", help="From this UTC day on, included.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Up to this UTC day, not included.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Of this project alone.")] = None,
    with_private: Annotated[
        bool,
        typer.Option(
            "--with-private",
            help="With distinct_id, path, title, element_label and properties, as they arrived; "
            "unset: people by pseudonym, pages by template.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write enriched events or timelines to files, a folder for each day: TARGET/events/day=….

    A day that is exported again replaces its files of the same format; files of another format end
    the command before anything is written.

    Examples: [bold]enrichment-pipeline export events out --format parquet[/],
    [bold]enrichment-pipeline export timelines out --from 2026-11-27 --to 2026-11-28[/]
    """
    # Importing the file formats takes half a second.
    from enrichment_pipeline.llm.exporting import Export, count_rows, run_export

    start, stop = _day("--from", first), _day("--to", end)
    if start and stop:
        check_order(start, stop)
    last = stop - timedelta(days=1) if stop else None
    wanted = Export(what, target, form, start, last, project, with_private)
    began = time.monotonic()
    with existing_store(load_settings()) as store:
        days = count_rows(store, wanted)
        with _progress() as progress:
            task = progress.add_task(what, total=sum(days.values()))
            report = run_export(
                store, wanted, list(days), lambda rows: progress.update(task, advance=rows)
            )
    seconds = time.monotonic() - began
    if as_json:
        print_json(
            {
                "rows": report.rows,
                "bytes": report.bytes,
                "days": report.days,
                "files": report.files,
                "seconds": round(seconds, 3),
            }
        )
    elif not report.rows:
        out.print("There is nothing of that to export.")
    else:
        out.print(
            f"{counted(report.rows, what.removesuffix('s'))} of "
            f"{counted(len(report.days), 'day')} in {counted(len(report.files), 'file')}, "
            f"{counted(report.bytes, 'byte')}, in {seconds:.1f} s",
            highlight=False,
        )


def _day(option: str, written: str | None) -> date | None:
    if written is None:
        return None
    try:
        return date.fromisoformat(written)
    except ValueError:
        fail(f"{option} {written!r} is no day, such as 2026-11-27")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
