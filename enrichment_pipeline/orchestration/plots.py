"""Pictures for Dagster's metadata. Reading their numbers belongs to `store`."""

import base64
import io
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd

from enrichment_pipeline.store.windows.contents import Counted

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


def plot_over_time(
    counts: Sequence[Counted], start: datetime, end: datetime
) -> dg.MarkdownMetadataValue:
    """Events per minute between `start` and `end`, by event type, as a picture."""
    by_minute = pd.DataFrame(counts).pivot_table(
        index="minute", columns="event_type", values="events", aggfunc="sum", fill_value=0
    )
    minutes = pd.date_range(start, end, freq="min", inclusive="left")
    by_minute = by_minute.reindex(minutes, fill_value=0)
    # Margins by hand: a layout engine takes three times as long as the rest of the plot.
    figure = _figure(figsize=(8.5, 2.6))
    axes = figure.add_axes((0.07, 0.2, 0.92, 0.66))
    below = pd.Series(0, index=minutes)
    for name in by_minute:
        # A bar for each minute: an area would invent values between two minutes.
        axes.bar(range(len(minutes)), by_minute[name], 0.9, below, label=str(name))
        below += by_minute[name]
    axes.set(
        xlim=(-0.5, len(minutes) - 0.5),
        xlabel=f"minutes after {start:%H:%M} UTC",
        ylabel="events/min",
    )
    _count_in_integers(axes.yaxis)
    axes.legend(fontsize=7, ncols=5, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.2))
    return _image(figure, "events per minute, by event_type")


def plot_by_reason(by_reason: pd.DataFrame) -> dg.MarkdownMetadataValue:
    """Open dead letters by reason, as a picture; `by_reason` is `BrokenNow.by_reason`."""
    figure = _figure(figsize=(8.5, 0.6 + 0.3 * len(by_reason)), layout="constrained")
    axes = figure.subplots()
    axes.barh(list(by_reason["reason_code"]), list(by_reason["letters"]), color="#c0392b")
    axes.invert_yaxis()
    axes.set_xlabel("open dead letters")
    _count_in_integers(axes.xaxis)
    return _image(figure, "open dead letters, by reason")


def _count_in_integers(axis: "Axis") -> None:
    from matplotlib.ticker import MaxNLocator  # as in _figure

    axis.set_major_locator(MaxNLocator(integer=True))


def _image(figure: "Figure", alternative: str) -> dg.MarkdownMetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{alternative}](data:image/png;base64,{encoded})")


def _figure(**options: Any) -> "Figure":
    # Imported here, because it takes a third of a second, and every run would wait for it before
    # it enriches its first event.
    from matplotlib import rcParams
    from matplotlib.figure import Figure

    rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    return Figure(**options)
