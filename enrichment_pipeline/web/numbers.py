"""The pages that count: events by something, funnels, paths, what sessions differ in, who came
back.

The questions belong to `analytics`, the form of their answers to `tables`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from enrichment_pipeline.analytics.answers import Answer, moment
from enrichment_pipeline.analytics.asking import MOST_HOURS, PREVIOUS, Asked, about_of
from enrichment_pipeline.analytics.comparison import compare as compare_of
from enrichment_pipeline.analytics.paths import MOST_ACTS
from enrichment_pipeline.analytics.paths import paths as paths_of
from enrichment_pipeline.analytics.questions import MOST_STEPS
from enrichment_pipeline.analytics.questions import count as count_of
from enrichment_pipeline.analytics.questions import funnel as funnel_of
from enrichment_pipeline.analytics.retention import EVERIES
from enrichment_pipeline.analytics.retention import retention as retention_of
from enrichment_pipeline.llm.periods import bounds, moment_of
from enrichment_pipeline.store.analytics.counting import BYS, OF_SESSIONS
from enrichment_pipeline.store.analytics.paths import DIRECTIONS
from enrichment_pipeline.store.analytics.selection import ANY_SIGNAL, About
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.as_reader import reading
from enrichment_pipeline.web.charts import Column, columns_over_time
from enrichment_pipeline.web.given import Given, link
from enrichment_pipeline.web.shown import SECONDS, Shown
from enrichment_pipeline.web.tables import as_table, leads_nowhere, number_of

_ABOUT = ("where", "start", "end", "person", "project")
OF_COUNT = ("by", "limit", "compare_to", *_ABOUT)
OF_FUNNEL = ("step", "within_hours", "compare_to", *_ABOUT)
OF_PATHS = ("step", "direction", "depth", "within_hours", *_ABOUT)
OF_COMPARE = ("step", "against", *_ABOUT)
OF_RETENTION = ("step", "back", "every", *_ABOUT)

_ROWS = (20, 50, 200)
_FEWEST_FIELDS = 4
_ACTS = 3
_OF_TIME = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_FILTERS = ("page", "signal", "device")


def count(store: Store, given: Given) -> Shown:
    """How many events, sessions and people there are by a property of the events."""
    by = given.choice("by", BYS) or "page"
    limit = int(given.number("limit", _ROWS[-1 if by in _OF_TIME else 0], most=_ROWS[-1])) or 1
    with reading(store, SECONDS) as connection:
        asked = _asked(given)
        about = about_of(connection, asked)
        asked = asked._replace(start=about.start, end=about.end)
        answer = count_of(connection, asked, by=by, limit=limit + 1)
    is_of_events = by not in OF_SESSIONS and not given.text("compare_to")
    measure = "events" if is_of_events else "sessions"
    shown = answer._replace(rows=answer.rows[:limit])
    facts = _table(given, shown, measure, partial(_sessions_of, about, by)) | {
        "by": by,
        "bys": BYS,
        "limits": _ROWS,
        "is_more": len(answer.rows) > limit,
        "columns": _over_time(shown, by) if by in _OF_TIME else [],
    }
    return Shown("count.html", facts)


def funnel(store: Store, given: Given) -> Shown:
    """How many come from step to step."""
    steps = given.many("step")
    facts: dict[str, object] = {
        "given": given,
        "previous": PREVIOUS,
        "steps": [*steps, *[""] * max(_FEWEST_FIELDS - len(steps), 1)][:MOST_STEPS],
    }
    if steps:
        window = _window(given)
        with reading(store, SECONDS) as connection:
            answer = funnel_of(connection, _asked(given), steps, window=window)
        facts |= _table(given, answer, "people" if window else "sessions")
    return Shown("funnel.html", facts)


def paths(store: Store, given: Given) -> Shown:
    """What they do right after a step, or before it."""
    step = given.text("step")
    direction = given.choice("direction", DIRECTIONS) or "after"
    depth = int(given.number("depth", _ACTS, most=MOST_ACTS))
    facts: dict[str, object] = {
        "given": given,
        "direction": direction,
        "directions": DIRECTIONS,
        "depth": depth,
        "depths": range(1, MOST_ACTS + 1),
    }
    if step:
        window = _window(given)
        with reading(store, SECONDS) as connection:
            answer = paths_of(
                connection,
                _asked(given),
                step,
                direction=direction,
                depth=depth,
                window=window,
                limit=_ROWS[0],
            )
        facts |= _table(given, answer, "people" if window else "sessions")
    return Shown("paths.html", facts)


def compare(store: Store, given: Given) -> Shown:
    """In what sessions with a step differ from others."""
    step = given.text("step")
    facts: dict[str, object] = {"given": given}
    if step:
        with reading(store, SECONDS) as connection:
            answer = compare_of(
                connection, _asked(given), step, against=given.text("against"), limit=_ROWS[0]
            )
        facts |= as_table(answer, "these_%", "others_%", given.text("project"))
    return Shown("compare.html", facts)


def retention(store: Store, given: Given) -> Shown:
    """Who took a step and came back, period by period."""
    every = given.choice("every", EVERIES) or "week"
    with reading(store, SECONDS) as connection:
        answer = retention_of(
            connection, _asked(given), given.text("step"), back=given.text("back"), every=every
        )
    facts = _table(given, answer, "people") | {"every": every, "everies": EVERIES}
    return Shown("retention.html", facts)


def _window(given: Given) -> timedelta | None:
    hours = given.number("within_hours", 0, most=MOST_HOURS)
    return timedelta(hours=hours) if hours else None


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


def _table(
    given: Given,
    answer: Answer,
    measure: str,
    link_of: Callable[[str], str | None] = leads_nowhere,
) -> dict[str, object]:
    table = as_table(answer, measure, f"{measure}_before", given.text("project"), link_of)
    return {"given": given, "previous": PREVIOUS, **table}


def _sessions_of(about: About, by: str, label: str) -> str | None:
    """The list of the sessions behind a number; None where the list has no such filter."""
    where, start, end = about.where, about.start, about.end
    if by in _OF_TIME:
        begins = datetime.fromisoformat(label).replace(tzinfo=UTC)
        start, end = max(start, begins), min(end, begins + _OF_TIME[by])
    elif by in _FILTERS:
        where = where._replace(**{by: label})
    else:
        return None
    if where.event or where.touched or where.signal == ANY_SIGNAL:
        return None
    filters = {name: getattr(where, name) for name in _FILTERS}
    period = {"start": moment(start), "end": moment(end)}
    return link("/", {**filters, "person": about.person, "project": about.project, **period})


def _over_time(answer: Answer, by: str) -> list[Column]:
    at = list(answer.columns).index("events") if answer.rows else 0
    counts = [(datetime.fromisoformat(str(row[0])), number_of(row[at])) for row in answer.rows]
    return columns_over_time(counts, _OF_TIME[by])
