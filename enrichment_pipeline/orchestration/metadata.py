"""What a person sees in Dagster of a window: counts, a preview, a plot. As metadata values.

Where the numbers come from belongs to `store`, what they mean for a check to `checks`.
"""

import base64
import io
from datetime import datetime
from typing import Any

import dagster as dg
import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from enrichment_pipeline.ingest.chunks import ImportSummary
from enrichment_pipeline.ingest.pull.folder import FolderReport
from enrichment_pipeline.store.books import WindowBooks
from enrichment_pipeline.store.dead_letters import BrokenNow

mpl.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})


def books_metadata(books: WindowBooks) -> dict[str, dg.MetadataValue[Any]]:
    """The books of a window, each figure under its own name so that Dagster plots it over time."""
    return {
        "accepted": dg.MetadataValue.int(books.accepted),
        "enriched": dg.MetadataValue.int(books.enriched),
        "dead": dg.MetadataValue.int(books.dead),
        "pending": dg.MetadataValue.int(books.pending),
    }


def pulled_metadata(summary: ImportSummary) -> dict[str, dg.MetadataValue[Any]]:
    """What was pulled of a window from the query API."""
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
        "events_of_files": dg.MetadataValue.int(report.summary.accepted),
    }
    if report.broken:
        metadata["broken_files"] = table(pd.DataFrame({"file": report.broken}))
    return metadata


def window_metadata(
    counts: pd.DataFrame, first_events: pd.DataFrame
) -> dict[str, dg.MetadataValue[Any]]:
    """What lies enriched in a window that is not empty: counts by type and action, a preview.

    `counts` and `first_events` are what `store.books.classified` and `preview` give.
    """
    by_type = counts.groupby(["event_type", "action_type"])["events"].sum().reset_index()
    return {
        "by_type_and_action": table(by_type.sort_values("events", ascending=False)),
        "preview": table(first_events),
    }


def broken_metadata(broken: BrokenNow) -> dict[str, dg.MetadataValue[Any]]:
    """What is broken now, and the way out."""
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "dead_letters": dg.MetadataValue.int(broken.letters),
        "dead_events": dg.MetadataValue.int(broken.events),
        "failed_windows": dg.MetadataValue.int(broken.failed_windows),
    }
    if broken.letters:
        metadata["by_reason"] = table(broken.by_reason)
        metadata["letters_by_reason"] = _plot_by_reason(broken.by_reason)
        metadata["look"] = dg.MetadataValue.md(
            'Read them: `enrichment-pipeline sql "SELECT id, window_start, event, reason_code, '
            "message FROM dead_letter WHERE state = 'open'\"`"
        )
    if broken.failed_windows:
        metadata["windows"] = table(broken.windows)
        metadata["way_out"] = dg.MetadataValue.md(
            "Mend the cause, then materialize the failed partitions of `enriched_events` "
            "(*Materialize* → *failed and missing*): that takes in their dead batches."
        )
    return metadata


def table(frame: pd.DataFrame) -> dg.TableMetadataValue:
    """A frame as a table; what is no number is shown as text."""
    shown = frame.apply(lambda column: column if _is_number(column) else column.map(_text))
    columns = [
        dg.TableColumn(str(name), "int" if _is_number(frame[name]) else "string")
        for name in frame.columns
    ]
    records = [
        dg.TableRecord({str(name): _plain(value) for name, value in row.items()})
        for row in shown.to_dict("records")
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns))


def _is_number(column: pd.Series) -> bool:
    return bool(pd.api.types.is_integer_dtype(column))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "" if value is None else str(value)


def _plain(value: object) -> str | int:
    return value if isinstance(value, str) else int(str(value))


def plot_over_time(
    counts: pd.DataFrame, start: datetime, end: datetime
) -> dg.MarkdownMetadataValue:
    """Events per minute between `start` and `end`, by event type, as a picture."""
    by_minute = counts.pivot_table(
        index="minute", columns="event_type", values="events", aggfunc="sum", fill_value=0
    )
    minutes = pd.date_range(start, end, freq="min", inclusive="left")
    by_minute = by_minute.reindex(minutes, fill_value=0)
    # Margins by hand: a layout engine takes three times as long as the rest of the plot.
    figure = Figure(figsize=(6, 1.8))
    axes = figure.add_axes((0.1, 0.25, 0.88, 0.6))
    axes.stackplot(
        range(len(minutes)),
        *(by_minute[name] for name in by_minute),
        labels=[str(name) for name in by_minute],
    )
    axes.set(
        xlim=(0, len(minutes) - 1), xlabel=f"minutes after {start:%H:%M} UTC", ylabel="events/min"
    )
    axes.legend(fontsize=7, ncols=5, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.2))
    return _image(figure, "events per minute, by event_type")


def _plot_by_reason(by_reason: pd.DataFrame) -> dg.MarkdownMetadataValue:
    figure = Figure(figsize=(6, 0.6 + 0.3 * len(by_reason)), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(by_reason["reason_code"]), list(by_reason["letters"]), color="#c0392b")
    axes.invert_yaxis()
    axes.set_xlabel("open dead letters")
    return _image(figure, "open dead letters, by reason")


def _image(figure: Figure, alternative: str) -> dg.MarkdownMetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{encoded})")
