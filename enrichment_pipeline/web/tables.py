"""Answers with numbers as tables with bars: `parts.html` draws them.

What is asked belongs to `numbers`, the lengths of bars to `charts`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from enrichment_pipeline.analytics.answers import Answer, Cell
from enrichment_pipeline.web.charts import share
from enrichment_pipeline.web.shown import Named, named

# The columns that name sessions.
_OF_SESSIONS = (
    *("newest_sessions", "newest_of_these", "newest_of_never"),
    *("sessions_of_these", "sessions_of_others"),
)


class Shape(NamedTuple):
    """A cell of a table: a number, or texts, or sessions."""

    number: str | None = None
    texts: Sequence[str] = ()
    sessions: Sequence[Named] = ()


class Row(NamedTuple):
    """A row of a table with bars."""

    label: str
    link: str | None
    bar: str
    """How long: percent of the longest."""
    other_bar: str | None
    """That of what it is compared with."""
    cells: Sequence[Shape]


def leads_nowhere(_: str) -> None:
    """The names of rows are no links."""


def as_table(
    answer: Answer,
    measure: str,
    other: str | None,
    project: str | None,
    link_of: Callable[[str], str | None] = leads_nowhere,
) -> dict[str, object]:
    """What the templates show of an answer: its summary, the names of its columns, its rows, with
    bars for the column `measure`, and for `other` where the answer has such a column. `link_of`
    gives where the name of a row leads."""
    names = list(answer.columns)
    other = other if other in names else None
    return {
        "summary": answer.summary,
        "names": [_words(name) for name in names],
        "measure": _words(measure),
        "other": _words(other) if other else None,
        "rows": _rows(answer, measure, other or measure, project, link_of) if names else [],
    }


def _rows(
    answer: Answer,
    measure: str,
    other: str,
    project: str | None,
    link_of: Callable[[str], str | None],
) -> list[Row]:
    names = list(answer.columns)
    now, beside = names.index(measure), names.index(other)
    most = max((number_of(row[at]) for row in answer.rows for at in (now, beside)), default=0)
    return [
        Row(
            str(row[0]),
            link_of(str(row[0])),
            share(number_of(row[now]), most),
            share(number_of(row[beside]), most) if now != beside else None,
            [_shape(name, cell, project) for name, cell in zip(names[1:], row[1:], strict=True)],
        )
        for row in answer.rows
    ]


def _words(name: str) -> str:
    return name.replace("_", " ")


def number_of(cell: Cell) -> float:
    """The number in a cell; none counts as nothing."""
    return float(cell) if isinstance(cell, int | float) else 0


def _shape(name: str, cell: Cell, project: str | None) -> Shape:
    if isinstance(cell, list):
        if name in _OF_SESSIONS:
            return Shape(sessions=named(cell, project))
        return Shape(texts=cell)
    if isinstance(cell, str):
        return Shape(texts=[cell])
    return Shape("" if cell is None else f"{cell:,}")
