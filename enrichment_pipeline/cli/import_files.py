"""`enrichment-pipeline import`: files of exported events, with a progress bar and a summary."""

import time
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from enrichment_pipeline.cli.console import err, fail, out, print_error, print_json
from enrichment_pipeline.cli.worker import ring_workers
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.files import SourceError, source_size
from enrichment_pipeline.ingest.importer import import_source
from enrichment_pipeline.ingest.projects import PROJECT, PROJECT_RULE
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.engine import Store, opened_store


def import_files(
    files: Annotated[list[str], typer.Argument(help="Paths, or URLs that fsspec knows.")],
    project: Annotated[
        str, typer.Option(help="The project that the events belong to.")
    ] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Import PostHog's exported events: JSONL, a JSON array or Parquet, plain, gzip or zstd.

    Importing a file again adds nothing. A broken line costs that line: it is quarantined among the
    dead letters, with its text and the reason.

    Example: [bold]enrichment-pipeline import events.jsonl.gz s3://bucket/export.parquet[/]
    """
    if not PROJECT.fullmatch(project):
        fail(f"--project {PROJECT_RULE}")
    started = time.monotonic()
    summary = ImportSummary()
    broken: list[str] = []
    settings = load_settings()
    with opened_store(settings) as store:
        for file in files:
            try:
                import_with_progress(store, file, project, summary)
            except SourceError as error:
                # The other files are imported all the same.
                broken.append(str(error))
    if summary.accepted:
        ring_workers(settings)
    _print(summary, time.monotonic() - started, broken, as_json=as_json)
    if broken:
        raise typer.Exit(1)


def import_with_progress(store: Store, file: str, project: str, summary: ImportSummary) -> None:
    """Import one file, with a progress bar on standard error."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[events]:,} events"),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(file.rpartition("/")[2], total=source_size(file), events=0)

        def advance(done: int) -> None:
            seen = summary.accepted + summary.duplicates + summary.quarantined.total()
            progress.update(task, completed=done, events=seen)

        import_source(store, file, project, summary, advance)


def _print(summary: ImportSummary, seconds: float, broken: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "accepted": summary.accepted,
                "duplicates": summary.duplicates,
                "quarantined": dict(summary.quarantined),
                "partitions_widened_to": summary.widened_to,
                "seconds": round(seconds, 3),
                "errors": broken,
            }
        )
        return
    out.print(
        f"accepted {summary.accepted:,} · duplicates {summary.duplicates:,} · "
        f"quarantined {summary.quarantined.total():,} · {seconds:.1f} s",
        highlight=False,
    )
    for reason, count in summary.quarantined.most_common():
        out.print(f"  {count:,} {reason}", highlight=False)
    if summary.widened_to:
        out.print(f"The partitions start at {summary.widened_to:%Y-%m-%d} now.", highlight=False)
    for line in broken:
        print_error(line)
