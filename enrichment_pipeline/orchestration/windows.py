"""Windows in a run of Dagster: enriching them, which are finished, and what to show of each.

How events are enriched belongs to `enrichment`, publishing to `publishing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg

from enrichment_pipeline.enrichment.path import EnrichmentReport, enrich_due
from enrichment_pipeline.enrichment.re_enrich import Changes
from enrichment_pipeline.orchestration.checks import books_balance, few_unknown
from enrichment_pipeline.orchestration.metadata import (
    books_metadata,
    changes_table,
    window_metadata,
)
from enrichment_pipeline.orchestration.partitions import partition_key
from enrichment_pipeline.orchestration.plots import plot_over_time
from enrichment_pipeline.orchestration.resources import Pipeline
from enrichment_pipeline.orchestration.runs import ProgressLog, is_asked_for, run_name
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.summary import dead_windows
from enrichment_pipeline.store.queue.claims import reopen_dead, waiting_batches
from enrichment_pipeline.store.windows.books import WindowBooks, books, counted_books
from enrichment_pipeline.store.windows.contents import classified, preview
from enrichment_pipeline.wording import command, counted

Metadata = dict[str, dg.MetadataValue[Any]]

_PREVIEW_ROWS = 10

_MOST_PLOTS = 5


@dataclass
class Outcome:
    """What became of the windows of a run."""

    report: EnrichmentReport
    finished: dict[datetime, Metadata] = field(default_factory=dict)
    """Windows with nothing dead and nothing that waits for a retry, and what to show of each."""
    dead: dict[datetime, int] = field(default_factory=dict)
    """Windows that hold a dead batch, and the newest dead letter of each."""
    waits: timedelta | None = None
    """The wait until the first failed batch comes due again."""
    checks: list[dg.AssetCheckResult] = field(default_factory=list)
    books: Sequence[WindowBooks] = ()
    """The books of all windows that hold something, by their batches."""

    def show_changes(self, changes: Changes) -> None:
        """Add to each window's metadata what re-enriching has changed."""
        for window in self.finished:
            rows = [change for change in changes.changes if change.window_start == window]
            self.finished[window]["re_enriched"] = dg.MetadataValue.int(
                sum(change.events for change in rows)
            )
            if rows:
                self.finished[window]["changed"] = changes_table(rows)


def enrich_for_run(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    pipeline: Pipeline,
    windows: Sequence[datetime],
) -> EnrichmentReport:
    """Enrich what is due in these windows, and log how far that is and what fails. Where a
    person asked for the run, dead batches come due first."""
    if is_asked_for(context.instance, context.run) and not context.retry_number:
        with pipeline.store.transaction() as connection:
            reopened = reopen_dead(connection, windows)
        context.log.info(f"due again: {counted(reopened, 'dead batch')}")
    progress = ProgressLog(context.log)
    report = enrich_due(
        pipeline.store,
        pipeline.rules,
        windows,
        worker=run_name(context.run.run_id),
        # The sensor launches another run for it; this one shows what it has done.
        only_due_now=True,
        on_progress=lambda report: progress(f"{counted(report.events, 'event')} enriched so far"),
    )
    for failure in report.failures:
        context.log.warning(f"batch {failure.batch} failed: {failure.kind}")
    return report


class Shown(NamedTuple):
    """The windows that are published now."""

    counted: Sequence[datetime]
    """Those that are shown whole, with their rows counted."""
    large: Sequence[datetime] = ()
    """Those of which only the newest events and the books of their batches are shown."""

    @property
    def windows(self) -> list[datetime]:
        """All of them."""
        return [*self.counted, *self.large]


def read_windows(store: Store, shown: Shown, report: EnrichmentReport | None = None) -> Outcome:
    """Read what these windows hold now, after the work that the report describes."""
    outcome = Outcome(report or EnrichmentReport())
    with store.snapshot() as connection:
        outcome.dead = dead_windows(connection, shown.windows)
        waiting = waiting_batches(connection, shown.windows)
        outcome.books = books(connection, shown.windows)
        counted = counted_books(connection, shown.counted, store.window)
    large = [window for window in outcome.books if window.window_start in shown.large]
    outcome.waits = waiting[0].due_in if waiting else None
    unfinished = outcome.dead.keys() | {batch.window_start for batch in waiting}
    contents, unknown = _contents(store, counted, large, outcome.report)
    outcome.finished = {
        window.window_start: books_metadata(window) | contents.get(window.window_start, {})
        for window in [*counted, *large]
        if window.window_start not in unfinished
    }
    outcome.checks = [books_balance(outcome.books, counted)]
    if counted:
        enriched = sum(window.enriched for window in counted)
        outcome.checks.append(few_unknown(enriched, unknown))
    return outcome


def _contents(
    store: Store,
    counted: Sequence[WindowBooks],
    large: Sequence[WindowBooks],
    report: EnrichmentReport,
) -> tuple[dict[datetime, Metadata], int]:
    """What to show of the events of each window that has some, and how many are of unknown type
    in those that are counted."""
    filled, not_counted = (
        [window.window_start for window in some if window.enriched] for some in (counted, large)
    )
    with store.transaction() as connection:
        counts = classified(connection, filled, store.window)
        newest = preview(connection, [*filled, *not_counted], store.window, _PREVIEW_ROWS)
    of_run = _of_run(report)
    # Retention may have dropped the events of a window meanwhile.
    shown = {start: window_metadata(counts.get(start, ()), newest[start]) for start in newest}
    # Plots take four fifths of the time of a run over fifty small windows, so only the newest
    # have one; materializing a window by itself gives it one too.
    for window in counted[-_MOST_PLOTS:]:
        if counts_of_it := counts.get(start := window.window_start):
            plot = plot_over_time(counts_of_it, start, start + store.window)
            shown[start]["events_over_the_window"] = plot
    unknown = sum(
        row.events for rows in counts.values() for row in rows if row.event_type == "unknown"
    )
    return {start: metadata | of_run for start, metadata in shown.items()}, unknown


def _of_run(report: EnrichmentReport) -> Metadata:
    """How long the run took, which may have had several windows."""
    if not report.events:
        return {}
    rate = round(report.events / report.seconds)
    return {
        "run_seconds": dg.MetadataValue.float(round(report.seconds, 3)),
        "run_events_per_second": dg.MetadataValue.int(rate),
    }


def failure_message(dead: dict[datetime, int]) -> str:
    """The message about windows that hold dead batches, with what to do. It does not quote errors:
    these may name a person, who could not be forgotten in Dagster."""
    first, letter = next(iter(sorted(dead.items())))
    return (
        f"{counted(len(dead), 'window')} with dead batches, the first is {partition_key(first)}: "
        f"`{command(f'dead-letters show {letter}')}` says why. Mend the cause and "
        "materialize the failed partitions again."
    )
