"""What a person sees of a window in Dagster, as metadata values: counts, a preview.

Pictures belong to `plots`, reading the numbers to `store`, judging them to `checks`.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pandas as pd

from enrichment_pipeline.events.masked import masked_id, masked_line
from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.pull.folder import FolderReport
from enrichment_pipeline.orchestration.plots import plot_by_reason
from enrichment_pipeline.store.dead_letters.summary import BrokenNow
from enrichment_pipeline.store.queue.rewriting import Change
from enrichment_pipeline.store.windows.books import WindowBooks
from enrichment_pipeline.store.windows.contents import Counted, Described
from enrichment_pipeline.wording import command

_LONGEST_BAR = 16
_MINUTE = timedelta(minutes=1)
_NEWEST_LETTER = {"letter": "newest_letter"}


def books_metadata(books: WindowBooks) -> dict[str, dg.MetadataValue[Any]]:
    """The books of a window, each figure under its own name so that Dagster plots it over time."""
    return {
        "accepted": dg.MetadataValue.int(books.accepted),
        "enriched": dg.MetadataValue.int(books.enriched),
        "dead": dg.MetadataValue.int(books.dead),
        "pending": dg.MetadataValue.int(books.pending),
    }


def accepted_metadata(books: WindowBooks) -> dict[str, dg.MetadataValue[Any]]:
    """What has arrived for a window. Not what became of it: raw events are published again only
    when more arrive, so such figures would be wrong as soon as the window is enriched."""
    return {"accepted": dg.MetadataValue.int(books.accepted)}


def pulled_metadata(summary: ImportSummary) -> dict[str, dg.MetadataValue[Any]]:
    """What was pulled for a window from the query API."""
    return {
        "pulled": dg.MetadataValue.int(summary.accepted),
        "pulled_before": dg.MetadataValue.int(summary.duplicates),
        "pulled_quarantined": dg.MetadataValue.int(summary.quarantined.total()),
    }


def folder_metadata(report: FolderReport) -> dict[str, dg.MetadataValue[Any]]:
    """What was pulled from the folder, whichever windows it belongs to."""
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "files_pulled": dg.MetadataValue.int(report.files),
        "files_pulled_before": dg.MetadataValue.int(report.known),
        "files_passed_over": dg.MetadataValue.int(report.passed_over),
        "files_broken": dg.MetadataValue.int(len(report.broken)),
        "file_events": dg.MetadataValue.int(report.summary.accepted),
    }
    if report.broken:
        metadata["broken_files"] = table(pd.DataFrame({"file": report.broken}))
    if report.summary.warnings:
        metadata["pages_of_more"] = table(pd.DataFrame({"file": report.summary.warnings}))
    return metadata


def window_metadata(
    counts: Sequence[Counted], newest_events: Sequence[Described]
) -> dict[str, dg.MetadataValue[Any]]:
    """The enriched events of a window that is not empty: a preview and, where they were counted,
    counts by type and action.

    `counts` and `newest_events` are of `store.windows.contents.classified` and `preview`. Without
    pandas, which takes a tenth of a second for ten windows.
    """
    # What people want to see stands first: what users did, then how many did it when. Few
    # columns: beside its menus, Dagster leaves a table a quarter of the page.
    newest = _table_of(
        {"time": "string", "description": "string"},
        [(f"{event.occurred_at:%H:%M:%S}", event.description) for event in newest_events],
    )
    if not counts:
        return {"preview": newest}
    by_type: Counter[tuple[str, str]] = Counter()
    for row in counts:
        by_type[row.event_type, row.action_type] += row.events
    return {
        "preview": newest,
        "events_by_time": bars(_by_five_minutes(counts)),
        "by_type_and_action": _table_of(
            {"event_type": "string", "action_type": "string", "events": "int"},
            [(*kind, events) for kind, events in by_type.most_common()],
        ),
    }


def bars(counts: Mapping[str, int]) -> dg.TableMetadataValue:
    """Counts as bars of text: Dagster shows a table in its place, and a picture behind a link."""
    most = max(counts.values(), default=1)
    rows = [
        (name, "█" * round(_LONGEST_BAR * count / most) or "▏" * (count > 0), count)
        for name, count in counts.items()
    ]
    return _table_of({"time": "string", "bar": "string", "events": "int"}, rows)


def _by_five_minutes(counts: Sequence[Counted]) -> dict[str, int]:
    """Events by five minutes, from the first that have some to the last. Empty ones between are
    included: without them, gaps in time would not be visible."""
    by_time: Counter[datetime] = Counter()
    for row in counts:
        by_time[row.minute - row.minute.minute % 5 * _MINUTE] += row.events
    first, last = min(by_time), max(by_time)
    spans = (last - first) // (5 * _MINUTE) + 1
    moments = (first + 5 * number * _MINUTE for number in range(spans))
    return {f"{moment:%H:%M}": by_time[moment] for moment in moments}


def changes_table(changes: Sequence[Change]) -> dg.TableMetadataValue:
    """What re-enriching has changed, by event name."""
    frame = pd.DataFrame([change._asdict() for change in changes])
    return table(frame.drop(columns="window_start").sort_values("events", ascending=False))


def broken_metadata(broken: BrokenNow) -> dict[str, dg.MetadataValue[Any]]:
    """What is broken now, and how to fix it."""
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "dead_letters": dg.MetadataValue.int(broken.letters),
        "dead_events": dg.MetadataValue.int(broken.events),
        "failed_windows": dg.MetadataValue.int(broken.failed_windows),
    }
    if broken.failed_windows:
        metadata["how_to_fix_windows"] = dg.MetadataValue.md(
            "Remove the cause, then materialize the failed partitions of `enriched_events` "
            f"(*Materialize* → *failed and missing*), or run `{command('backfill --failed')}`: "
            "both take in their dead batches."
        )
        windows = broken.windows.assign(window=broken.windows["window_start"].map(_minute))
        windows = windows.rename(columns=_NEWEST_LETTER)
        metadata["windows"] = table(windows[["window", "events", "newest_letter"]])
        if run := _run_of(broken.windows["worker"].iloc[0]):
            metadata["latest_failed_run"] = run
    if broken.letters:
        metadata["how_to_fix"] = dg.MetadataValue.md(
            f"Remove the cause, then run `{command('dead-letters replay --reason REASON')}`, or "
            "launch the job `replay_dead_letters` of the code location `dead_letter_worker`. Close "
            f"what nobody needs: `{command('dead-letters discard ID --because TEXT')}`"
        )
        by_reason = broken.by_reason.rename(columns=_NEWEST_LETTER)
        metadata["by_reason"] = table(by_reason[["reason_code", "letters", "newest_letter"]])
        metadata["letters_by_reason"] = plot_by_reason(broken.by_reason)
        metadata["how_to_list"] = dg.MetadataValue.md(
            f"`{command('dead-letters list')}`; the newest in full, with its message: "
            f"`{command('dead-letters show')} {broken.by_reason['letter'].max()}`"
        )
    return metadata


def _run_of(worker: str | None) -> dg.DagsterRunMetadataValue | None:
    """The run that a worker's name stands for, if it is one."""
    kind, _, run_id = (worker or "").partition(" ")
    return dg.MetadataValue.dagster_run(run_id) if kind == "run" else None


def _table_of(
    columns: Mapping[str, str], rows: Iterable[tuple[str | int, ...]]
) -> dg.TableMetadataValue:
    """Rows as a table: the type of each column, by its name."""
    return dg.MetadataValue.table(
        [dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()]),
    )


def table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """A frame as a table; values that are not numbers are shown as text."""
    shown = frame.apply(
        lambda column: column if _is_number(column) else column.map(_MASKS.get(column.name, _text))
    )
    columns = [
        dg.TableColumn(str(name), "int" if _is_number(frame[name]) else "string")
        for name in frame.columns
    ]
    records = [
        dg.TableRecord({str(name): _plain(value) for name, value in row.items()})
        for row in shown.to_dict("records")
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


# Columns with text that the senders of events wrote.
_MASKS: Mapping[Hashable, Callable[[object], str]] = {
    name: lambda value: masked_line(_text(value))
    for name in ("event", "sample", "last_error", "message")
} | {"session_id": lambda value: masked_id(_text(value))}


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_integer_dtype(column))


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "" if value is None else str(value)


def _plain(value: object) -> str | int:
    return value if isinstance(value, str) else int(str(value))
