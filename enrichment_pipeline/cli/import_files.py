"""`enrichment-pipeline import`: files of exported events, with a progress bar and a summary."""

import signal
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

from enrichment_pipeline.cli.console import err, fail, out, print_error, print_json, print_warning
from enrichment_pipeline.cli.worker import notify_workers
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.files import SourceError, expand_source, source_size
from enrichment_pipeline.ingest.importer import import_source
from enrichment_pipeline.ingest.projects import PROJECT, PROJECT_RULE
from enrichment_pipeline.settings import load_settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.wording import command, counted

_INTERRUPTED = 130
"""The exit status that shells use for a command that Ctrl-C ended."""


def import_files(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Paths, folders, URLs such as s3://bucket/folder, patterns of these, or - for "
            "standard input."
        ),
    ],
    project: Annotated[
        str, typer.Option(help="The project that the events belong to.")
    ] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Import PostHog's exported events: JSONL, JSON, CSV with a header, or Parquet; plain, gzip,
    zstd, or in a zip or tar archive; the files that PostHog's batch exports, UI, events API and
    query API write.

    Importing a file again adds nothing. A broken line costs that line alone: it becomes a dead
    letter, with its text and the reason. A file of which no event can be used ends the command
    with 1.

    Example: [bold]enrichment-pipeline import events.jsonl.gz s3://bucket/export.parquet[/]
    """
    if not PROJECT.fullmatch(project):
        fail(f"--project {PROJECT_RULE}")
    # A process that a script starts in the background inherits that it ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    summary = ImportSummary()
    broken: list[str] = []
    interrupted = False
    settings = load_settings()
    with opened_store(settings) as store:
        try:
            _import_all(store, files, project, summary, broken)
        except KeyboardInterrupt:
            interrupted = True
    if summary.accepted:
        notify_workers(settings)
    seconds = time.monotonic() - started
    if as_json:
        _print_json(summary, seconds, broken, interrupted=interrupted)
    else:
        _print(summary, seconds)
    for line in summary.warnings:
        print_warning(line)
    for line in broken:
        print_error(line)
    if interrupted:
        err.print(
            "Interrupted: so much is in. The same command goes on; what is in counts as duplicates "
            "then.",
            soft_wrap=True,
        )
        raise typer.Exit(_INTERRUPTED)
    if broken:
        raise typer.Exit(1)


def _import_all(
    store: Store, files: list[str], project: str, summary: ImportSummary, broken: list[str]
) -> None:
    """Import the files, adding to `summary`; each file that fails adds a line to `broken`, and the
    other files are still imported."""
    for file in files:
        try:
            sources = expand_source(file)
        except SourceError as error:
            broken.append(str(error))
            continue
        for source in sources:
            of_file = ImportSummary()
            try:
                import_with_progress(store, source, project, of_file)
                if not of_file.usable:
                    broken.append(f"{source}: {_unusable(of_file)}")
            except SourceError as error:
                broken.append(str(error))
            finally:
                summary.add(of_file)


def _unusable(summary: ImportSummary) -> str:
    records = summary.quarantined.total() + summary.duplicates
    if not records:
        return "there is no event in it"
    return (
        f"none of its {counted(records, 'record')} is an event that can be used; "
        f"`{command('dead-letters list')}` says why"
    )


def import_with_progress(store: Store, file: str, project: str, summary: ImportSummary) -> None:
    """Import one file, with a progress bar on standard error."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[events]}"),
    )
    # Without a terminal, the bar would leave an empty line for each file.
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(file.rpartition("/")[2], total=source_size(file), events="")

        def advance(done: int) -> None:
            seen = summary.accepted + summary.duplicates + summary.quarantined.total()
            progress.update(task, completed=done, events=counted(seen, "event"))

        import_source(store, file, project, summary, advance)


def _print_json(
    summary: ImportSummary, seconds: float, broken: list[str], *, interrupted: bool
) -> None:
    print_json(
        {
            "accepted": summary.accepted,
            "duplicates": summary.duplicates,
            "quarantined": dict(summary.quarantined),
            "seconds": round(seconds, 3),
            "interrupted": interrupted,
            "warnings": summary.warnings,
            "errors": broken,
        }
    )


def _print(summary: ImportSummary, seconds: float) -> None:
    out.print(
        f"accepted {summary.accepted:,} · duplicates {summary.duplicates:,} · "
        f"quarantined {summary.quarantined.total():,} · {seconds:.1f} s",
        highlight=False,
    )
    for reason, count in summary.quarantined.most_common():
        out.print(f"  {count:,} {reason}", highlight=False)
