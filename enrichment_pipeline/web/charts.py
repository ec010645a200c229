"""The geometry of charts: how long a bar is, and where the columns over time stand.

The templates draw them, as SVG beside the table that has the numbers.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

_MOST_COLUMNS = 2_000


class Column(NamedTuple):
    """A column over a time."""

    label: str
    x: int
    """Its place, counted from the first time."""
    height: str
    """Percent of the highest."""
    number: str


def share(number: float, most: float) -> str:
    """So many percent of the most, as SVG has it."""
    return f"{100 * number / most:.2f}%" if most else "0%"


def columns_over_time(counts: Sequence[tuple[datetime, float]], step: timedelta) -> list[Column]:
    """A column for each time that has a number, in its place; those of the newest 2,000 places."""
    if not counts:
        return []
    most = max(number for _, number in counts)
    last = counts[-1][0]
    shown = [one for one in counts if (last - one[0]) / step < _MOST_COLUMNS]
    first = shown[0][0]
    return [
        Column(
            f"{moment:%Y-%m-%d %H:%M}",
            round((moment - first) / step),
            f"{100 * number / most:.2f}",
            f"{number:,.0f}",
        )
        for moment, number in shown
    ]
