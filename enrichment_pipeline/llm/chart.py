"""A chart of events over time, as a picture for a model that sees."""

import io
from collections.abc import Sequence
from datetime import datetime


def chart_of_events(
    counts: Sequence[tuple[int, str, int]], start: datetime, end: datetime, parts: int
) -> bytes:
    """A PNG; `counts` are part (of so many equal ones between start and end), value, events."""
    # Imported here: it takes a third of a second, and few ask for pictures.
    import numpy as np
    from matplotlib.figure import Figure

    values = sorted({value for _, value, _ in counts})
    by_value = {value: [0] * parts for value in values}
    for part, value, events in counts:
        by_value[value][part] += events
    step = (end - start) / parts
    moments = np.array([start + step * part for part in range(parts)])
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    if values:
        axes.stackplot(moments, *by_value.values(), labels=values)
        axes.legend(loc="upper left", fontsize=7, ncols=5, frameon=False)
    axes.set_title(f"events, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC", fontsize=9)
    axes.set_ylabel(f"events per {step.total_seconds():.0f} s", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.margins(x=0)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
