"""A chart over time, as an image for a model that reads images."""

import io
from collections.abc import Sequence
from datetime import datetime
from threading import Lock

_DRAWING = Lock()


def chart_over_time(
    what: str, counts: Sequence[tuple[int, str, int]], start: datetime, end: datetime, parts: int
) -> bytes:
    """A PNG; `counts` are part (of so many equal parts between start and end), value, count."""
    # Its fonts are shared by all figures of the process, and are not thread-safe.
    with _DRAWING:
        return _draw(what, counts, start, end, parts)


def _draw(
    what: str, counts: Sequence[tuple[int, str, int]], start: datetime, end: datetime, parts: int
) -> bytes:
    # Imported here: the import takes a third of a second, and images are requested rarely.
    import numpy as np
    from matplotlib.figure import Figure

    values = sorted({value for _, value, _ in counts})
    by_value = {value: [0] * parts for value in values}
    for part, value, many in counts:
        by_value[value][part] += many
    step = (end - start) / parts
    moments = np.array([start + step * part for part in range(parts)])
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    axes.stackplot(moments, *by_value.values(), labels=values, step="post")
    axes.legend(loc="upper left", fontsize=7, ncols=5, frameon=False)
    axes.set_title(f"{what}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC", fontsize=9)
    axes.set_ylabel(f"per {step.total_seconds():.0f} s", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.margins(x=0)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
