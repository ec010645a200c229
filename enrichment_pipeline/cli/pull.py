"""`enrichment-pipeline pull`: pull events now, from the sources that the settings name."""

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from enrichment_pipeline.cli.console import err, fail, out, print_error, print_json, print_warning
from enrichment_pipeline.cli.moments import parse_period
from enrichment_pipeline.cli.worker import notify_workers
from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.ingest.pull.errors import PullError
from enrichment_pipeline.ingest.pull.pull import PullReport, pull, windows_due
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store, opened_store
from enrichment_pipeline.store.windows.limits import MAX_WINDOWS
from enrichment_pipeline.wording import counted


def pull_events(
    first: Annotated[
        str | None,
        typer.Option(
            "--from", help="From this day or time on (UTC), included; read again where it was."
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", help="Up to this day or time (UTC), not included; else now."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Pull events: new files of ENRICHMENT_PULL_FOLDER, and PostHog's query API.

    Without --from, what is due: the open window, and those before it that are not complete. The
    files do not depend on --from and --to. Pulling again adds nothing twice.

    Example: [bold]enrichment-pipeline pull --from 2026-03-01 --to 2026-03-02T12:00[/]
    """
    settings = load_settings()
    now = datetime.now(UTC)
    started = time.monotonic()
    report = PullReport()
    failure: str | None = None
    with opened_store(settings) as store:
        windows = _windows(store, settings, first, end, now)
        try:
            _pull_with_progress(store, settings, windows, now if first else None, report)
        except PullError as error:
            if not settings.pulls:
                fail(str(error))
            # The summary of what was pulled before the failure is still printed.
            failure = str(error)
    errors = [*report.folder.broken, *report.difference_lines(), *([failure] if failure else [])]
    if report.summary.accepted:
        notify_workers(settings)
    _print(report, time.monotonic() - started, errors, as_json=as_json)
    for line in report.summary.warnings:
        print_warning(line)
    for line in errors:
        print_error(line)
    if errors:
        raise typer.Exit(1)


def _windows(
    store: Store, settings: Settings, first: str | None, end: str | None, now: datetime
) -> list[datetime]:
    if first is None:
        if end is not None:
            fail("--to goes with --from")
        return windows_due(store, settings, now)
    start, stop = parse_period(first, end)
    if start is None or start > now:
        fail("--from must be in the past")
    start, stop = window_start(start, store.window), min(stop or now, now)
    # Up to the window that holds the last moment before `stop`.
    count = -((start - stop) // store.window)
    if count > MAX_WINDOWS:
        fail(f"--from is {counted(count, 'window')} ago, of which there may be {MAX_WINDOWS:,}")
    return [start + number * store.window for number in range(count)]


def _pull_with_progress(
    store: Store,
    settings: Settings,
    windows: list[datetime],
    again_before: datetime | None,
    report: PullReport,
) -> None:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[share]}"),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
    with bar as progress:
        task: TaskID = progress.add_task("asking …", total=None, share="")

        def advance(what: str, done: int, total: int | None) -> None:
            share = f"{done / total:.0%}" if total else counted(done, "event")
            progress.update(task, description=what, share=share)

        pull(
            store,
            settings,
            windows,
            again_before=again_before,
            report=report,
            on_progress=advance,
        )


def _print(report: PullReport, seconds: float, errors: list[str], *, as_json: bool) -> None:
    summary, folder = report.summary, report.folder
    if as_json:
        print_json(
            {
                "accepted": summary.accepted,
                "duplicates": summary.duplicates,
                "quarantined": dict(summary.quarantined),
                "files": folder.files,
                "files_known": folder.known,
                "files_passed_over": folder.passed_over,
                "windows": sorted(report.windows),
                "busy": [*folder.busy, *report.busy],
                "seconds": round(seconds, 3),
                "warnings": summary.warnings,
                "errors": errors,
            }
        )
        return
    out.print(
        f"accepted {summary.accepted:,} · duplicates {summary.duplicates:,} · "
        f"quarantined {summary.quarantined.total():,} · {counted(folder.files, 'file')} · "
        f"{counted(len(report.windows), 'window')} · {seconds:.1f} s",
        highlight=False,
    )
    for reason, count in summary.quarantined.most_common():
        out.print(f"  {count:,} {reason}", highlight=False)
    for what in [*folder.busy, *report.busy]:
        out.print(f"another pull is at work on {what}", highlight=False, markup=False)
