"""`enrichment-pipeline backfill`: reprocess windows."""

from datetime import datetime
from typing import Annotated

import typer
from rich.progress import Progress

from enrichment_pipeline.classification import load_rules
from enrichment_pipeline.cli.console import err, fail, out, print_json, print_table
from enrichment_pipeline.cli.moments import From, To, parse_period
from enrichment_pipeline.enrichment.rules_diff import diff_rules
from enrichment_pipeline.events.times import window_start
from enrichment_pipeline.settings import Settings, load_settings
from enrichment_pipeline.store.database.engine import Store, existing_store
from enrichment_pipeline.store.dead_letters.summary import failed_windows, open_events
from enrichment_pipeline.store.windows.books import books
from enrichment_pipeline.wording import command, counted

_SHOWN = 20


def backfill(
    failed: Annotated[
        bool, typer.Option("--failed", help="Only the failed windows: those with a dead batch.")
    ] = False,
    first: From = None,
    end: To = None,
    re_enrich: Annotated[
        bool,
        typer.Option("--re-enrich", help="Enrich what is finished again, under the current rules."),
    ] = False,
    changed: Annotated[
        bool,
        typer.Option(
            "--changed",
            help="Only the windows in which the current rules would change something: --re-enrich "
            "them. `rules diff` says what.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which windows, and do nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Reprocess windows, including their dead batches, and show them in Dagster.

    Events that are enriched stay as they are, unless --re-enrich is given. Ends with 1 where a
    window failed again.

    Example: [bold]enrichment-pipeline backfill --failed --dry-run[/],
    [bold]enrichment-pipeline backfill --from 2026-03-01 --to 2026-03-02 --re-enrich[/],
    [bold]enrichment-pipeline backfill --changed[/]
    """
    if not failed and not first and not changed:
        fail("which windows? Add --failed, --changed, or --from (and --to)")
    if failed and changed:
        fail("--failed and --changed: choose one")
    settings = load_settings()
    since, until = parse_period(first, end)
    since = window_start(since, settings.window) if since else None
    with existing_store(settings) as store:
        chosen = _chosen(store, since, until, only_failed=failed)
        if changed:
            rules = load_rules(settings.rules_file)
            windows = set(diff_rules(store, rules).windows)
            chosen = {window: events for window, events in chosen.items() if window in windows}
        if dry_run or not chosen:
            none = "No window is failed." if failed else "There are no events then."
            none = "The current rules would change nothing then." if changed else none
            _print(chosen, none, only_failed=failed, as_json=as_json)
            return
        _run(settings, store, list(chosen), re_enrich=re_enrich or changed, as_json=as_json)


def _chosen(
    store: Store, since: datetime | None, until: datetime | None, *, only_failed: bool
) -> dict[datetime, int]:
    """The chosen windows, and how many dead events (or events at all) each has."""
    with store.transaction() as connection:
        if only_failed:
            return failed_windows(connection, since, until)
        return {
            window.window_start: window.accepted
            for window in books(connection)
            if (since is None or window.window_start >= since)
            and (until is None or window.window_start < until)
        }


def _print(chosen: dict[datetime, int], none: str, *, only_failed: bool, as_json: bool) -> None:
    if as_json:
        windows = [{"window": window, "events": events} for window, events in chosen.items()]
        print_json({"windows": windows})
        return
    if not chosen:
        out.print(none)
        return
    what = "dead event" if only_failed else "event"
    rows = [(f"{window:%Y-%m-%d %H:%M}", events) for window, events in chosen.items()]
    print_table(("window (UTC)", f"{what}s"), rows[:_SHOWN])
    total = sum(chosen.values())
    out.print(
        f"{counted(len(chosen), 'window')} with {counted(total, what)} would be processed again."
    )


def _run(
    settings: Settings, store: Store, windows: list[datetime], *, re_enrich: bool, as_json: bool
) -> None:
    # Importing Dagster takes seconds, which the other subcommands should not spend.
    from enrichment_pipeline.orchestration.backfill import BackfillReport, backfill
    from enrichment_pipeline.orchestration.instance import prepare_home, prepare_instance

    home = prepare_home(settings.home.resolve())
    prepare_instance(home, alone=False)
    bar = Progress(console=err, transient=True, disable=not err.is_terminal)
    with bar as progress:
        task = progress.add_task("Windows", total=len(windows))

        def on_progress(report: BackfillReport) -> None:
            progress.update(task, completed=len(report.windows) + len(report.failed))

        report = backfill(settings, windows, home, re_enrich=re_enrich, on_progress=on_progress)
    if as_json:
        print_json(
            {
                "finished": report.windows,
                "failed": [{"window": w, "run": run} for w, run in report.failed.items()],
                "changed_events": report.changed_events,
            }
        )
    else:
        out.print(
            f"{counted(len(report.windows), 'window is finished', 'windows are finished')}.",
            highlight=False,
        )
        if re_enrich:
            out.print(
                f"{counted(report.changed_events, 'event')} came out otherwise.", highlight=False
            )
        _print_letters(store, windows)
    if report.failed:
        window, run = next(iter(report.failed.items()))
        fail(
            f"{counted(len(report.failed), 'window')} failed again, the first is "
            f"{window:%Y-%m-%d %H:%M} (run {run}); see: {command('dead-letters list --kind batch')}"
        )


def _print_letters(store: Store, windows: list[datetime]) -> None:
    """Say how many single events stay dead: a backfill retries batches, only a replay retries
    single events."""
    with store.transaction() as connection:
        left = open_events(connection, windows)
    if left:
        out.print(
            f"{counted(left, 'single event')} in dead letters still: "
            f"{command('dead-letters list')}",
            highlight=False,
            soft_wrap=True,
        )
