"""The pages that count: events by something, and funnels; the answers of `analytics` as charts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from enrichment_pipeline.analytics.answers import Answer, Cell
from enrichment_pipeline.analytics.asking import PREVIOUS, Asked
from enrichment_pipeline.analytics.questions import MOST_STEPS
from enrichment_pipeline.analytics.questions import count as count_of
from enrichment_pipeline.analytics.questions import funnel as funnel_of
from enrichment_pipeline.llm.periods import bounds, moment_of
from enrichment_pipeline.store.analytics.counting import BYS
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.as_reader import reading
from enrichment_pipeline.web.charts import Column, columns_over_time, share
from enrichment_pipeline.web.given import Given, link
from enrichment_pipeline.web.shown import SECONDS, Named, Shown, named

_ABOUT = ("where", "start", "end", "compare_to", "person", "project")
OF_COUNT = ("by", "limit", *_ABOUT)
OF_FUNNEL = ("step", "within_hours", *_ABOUT)

_ROWS = (20, 50, 200)
_MOST_HOURS = 24 * 366
_FEWEST_FIELDS = 4
_OF_TIME = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_FILTERS = ("page", "signal", "device")


class _Cell(NamedTuple):
    """A cell of a table: a number, or texts, or sessions."""

    number: str | None = None
    texts: Sequence[str] = ()
    sessions: Sequence[Named] = ()


class _Row(NamedTuple):
    """A row of a table with bars."""

    label: str
    link: str | None
    bar: str
    """How long: percent of the longest."""
    bar_before: str | None
    cells: Sequence[_Cell]


def count(store: Store, given: Given) -> Shown:
    """How many events, sessions and people there are by a property of the events."""
    by = given.choice("by", BYS) or "page"
    limit = int(given.number("limit", _ROWS[-1 if by in _OF_TIME else 0], most=_ROWS[-1])) or 1
    with reading(store, SECONDS) as connection:
        answer = count_of(connection, _asked(given), by=by, limit=limit + 1)
    is_more = len(answer.rows) > limit
    answer = answer._replace(rows=answer.rows[:limit])
    measure = "sessions" if given.text("compare_to") else "events"
    facts = {
        "given": given,
        "by": by,
        "bys": BYS,
        "limits": _ROWS,
        "is_more": is_more,
        "previous": PREVIOUS,
        "columns": _over_time(answer, by) if by in _OF_TIME else [],
        "rows": [
            row._replace(link=_sessions_of(given, by, row.label))
            for row in _rows(answer, measure, given.text("project"))
        ],
    }
    return Shown("count.html", facts | _about(answer, measure))


def funnel(store: Store, given: Given) -> Shown:
    """How many come from step to step."""
    steps = given.many("step")
    facts: dict[str, object] = {
        "given": given,
        "steps": [*steps, *[""] * max(_FEWEST_FIELDS - len(steps), 1)][:MOST_STEPS],
        "previous": PREVIOUS,
    }
    if steps:
        within = given.number("within_hours", 0, most=_MOST_HOURS)
        window = timedelta(hours=within) if within else None
        with reading(store, SECONDS) as connection:
            answer = funnel_of(connection, _asked(given), steps, window=window)
            measure = "people" if window else "sessions"
        facts |= {"rows": _rows(answer, measure, given.text("project"))} | _about(answer, measure)
    return Shown("funnel.html", facts)


def _asked(given: Given) -> Asked:
    first, last = bounds(given.text("start"), given.text("end"))
    compare_to = given.text("compare_to")
    return Asked(
        first,
        last,
        given.text("project"),
        given.text("person"),
        given.text("where"),
        compare_to if compare_to == PREVIOUS else moment_of("compare_to", compare_to),
    )


def _about(answer: Answer, measure: str) -> dict[str, object]:
    names = [name.replace("_", " ") for name in answer.columns]
    return {"summary": answer.summary, "names": names, "measure": measure}


def _rows(answer: Answer, measure: str, project: str | None) -> list[_Row]:
    """The rows of an answer, with bars for what is measured."""
    if not answer.rows:
        return []
    names = list(answer.columns)
    now = names.index(measure)
    before = names.index(f"{measure}_before") if f"{measure}_before" in names else now
    most = max(_number(row[at]) for row in answer.rows for at in (now, before))
    return [
        _Row(
            str(row[0]),
            None,
            share(_number(row[now]), most),
            None if before == now else share(_number(row[before]), most),
            [*map(_cell, row[1:-1]), _Cell(sessions=named(_texts(row[-1]), project))],
        )
        for row in answer.rows
    ]


def _number(cell: Cell) -> float:
    return float(cell) if isinstance(cell, int | float) else 0


def _texts(cell: Cell) -> list[str]:
    return cell if isinstance(cell, list) else []


def _cell(cell: Cell) -> _Cell:
    if isinstance(cell, list):
        return _Cell(texts=cell)
    return _Cell("" if cell is None else f"{cell:,}" if not isinstance(cell, str) else cell)


def _sessions_of(given: Given, by: str, label: str) -> str | None:
    """The list of the sessions behind a number, where the list has such a filter."""
    asked = {name: given.text(name) for name in ("person", "project", "start", "end")}
    if by in _OF_TIME:
        start = datetime.fromisoformat(label)
        asked |= {"start": _minute(start), "end": _minute(start + _OF_TIME[by])}
    elif by in _FILTERS:
        asked |= {by: label}
    else:
        return None
    return link("/", asked)


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _over_time(answer: Answer, by: str) -> list[Column]:
    at = list(answer.columns).index("events") if answer.rows else 0
    counts = [(datetime.fromisoformat(str(row[0])), _number(row[at])) for row in answer.rows]
    return columns_over_time(counts, _OF_TIME[by])
