"""What can be asked that is answered with numbers, and with what arguments: for MCP and HTTP alike.

A calling model sees everything here. The questions themselves belong to `analytics`.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from enrichment_pipeline.analytics.answers import Answer
from enrichment_pipeline.analytics.asking import MOST_HOURS, PREVIOUS, Asked
from enrichment_pipeline.analytics.comparison import compare
from enrichment_pipeline.analytics.paths import MOST_ACTS, paths
from enrichment_pipeline.analytics.questions import MOST_STEPS, count, funnel
from enrichment_pipeline.analytics.retention import MOST_PERIODS, Every, retention
from enrichment_pipeline.analytics.steps import HOW
from enrichment_pipeline.llm.mcp_arguments import (
    MOST_ROWS,
    MOST_TOKENS,
    End,
    Person,
    Project,
    Start,
    Word,
)
from enrichment_pipeline.llm.periods import bounds, moment_of
from enrichment_pipeline.llm.tables import FEWEST_TOKENS_OF_TABLE, Table, fitted
from enrichment_pipeline.store.analytics.counting import By
from enrichment_pipeline.store.analytics.paths import Direction
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.as_reader import reading

SECONDS = 10
"""The time limit of a statement in the store."""

_TOKENS = 1_500

Where = Annotated[Word | None, Field(description="Only events of which this is true; as a step.")]
CompareTo = Annotated[
    Word | None,
    Field(description=f"{PREVIOUS} (the time right before), or when as long a time began."),
]
Within = Annotated[
    float | None,
    Field(gt=0, le=MOST_HOURS, description="Follow people so long, not one session."),
]
Rows = Annotated[int, Field(ge=1, le=MOST_ROWS, description="Rows at most.")]
Tokens = Annotated[
    int, Field(ge=FEWEST_TOKENS_OF_TABLE, le=MOST_TOKENS, description="Tokens at most.")
]


class Counting:
    """What can be asked of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def questions(self) -> list[Callable[..., Table]]:
        """All of them, each described by its docstring."""
        return [self.count, self.funnel, self.paths, self.compare, self.retention]

    def count(
        self,
        by: Annotated[By, Field(description="A row for each of these.")] = "event",
        where: Where = None,
        start: Start = None,
        end: End = None,
        compare_to: CompareTo = None,
        person: Person = None,
        project: Project = None,
        limit: Rows = 10,
        max_tokens: Tokens = _TOKENS,
    ) -> Table:
        """How many events, sessions and people, by event, page, element touched, signal, …; two
        times side by side with compare_to, what has changed most first. Without start, of the seven
        days before end, or before the newest event."""
        asked = _asked(start, end, compare_to, person, project, where)
        with reading(self._store, SECONDS) as connection:
            answer = count(connection, asked, by=by, limit=limit + 1)
        return _table(answer, limit, max_tokens)

    def funnel(
        self,
        steps: Annotated[
            list[Word], Field(min_length=2, max_length=MOST_STEPS, description=f"In order: {HOW}.")
        ],
        within_hours: Within = None,
        where: Where = None,
        start: Start = None,
        end: End = None,
        compare_to: CompareTo = None,
        person: Person = None,
        project: Project = None,
        max_tokens: Tokens = _TOKENS,
    ) -> Table:
        """How many sessions come from step to step in this order, where they stop, and what those
        who stopped did next instead."""
        asked = _asked(start, end, compare_to, person, project, where)
        window = timedelta(hours=within_hours) if within_hours else None
        with reading(self._store, SECONDS) as connection:
            answer = funnel(connection, asked, steps, window=window)
        return _table(answer, MOST_STEPS, max_tokens)

    def paths(
        self,
        step: Annotated[Word, Field(description="As a step of funnel.")],
        direction: Annotated[Direction, Field(description="Side of the step.")] = "after",
        depth: Annotated[int, Field(ge=1, le=MOST_ACTS, description="Acts at most.")] = 3,
        within_hours: Within = None,
        where: Where = None,
        start: Start = None,
        end: End = None,
        person: Person = None,
        project: Project = None,
        limit: Rows = 10,
        max_tokens: Tokens = _TOKENS,
    ) -> Table:
        """What sessions do right after (or before) the first time they take a step: the most common
        sequences of acts, in order of time; a longer one is counted in the shorter, too."""
        asked = _asked(start, end, None, person, project, where)
        window = timedelta(hours=within_hours) if within_hours else None
        with reading(self._store, SECONDS) as connection:
            answer = paths(
                connection,
                asked,
                step,
                direction=direction,
                depth=depth,
                window=window,
                limit=limit + 1,
            )
        return _table(answer, limit, max_tokens)

    def compare(
        self,
        step: Annotated[Word, Field(description="What one side has; as a step, or a signal.")],
        against: Annotated[
            Word | None, Field(description="What the other side has; without it: not step.")
        ] = None,
        where: Where = None,
        start: Start = None,
        end: End = None,
        person: Person = None,
        project: Project = None,
        limit: Rows = 10,
        max_tokens: Tokens = _TOKENS,
    ) -> Table:
        """In what sessions with a step differ most from those without it: events, touched elements,
        pages, signals, devices, releases. Only what a test calls more than chance (q)."""
        asked = _asked(start, end, None, person, project, where)
        with reading(self._store, SECONDS) as connection:
            answer = compare(connection, asked, step, against=against, limit=limit + 1)
        return _table(answer, limit, max_tokens)

    def retention(
        self,
        step: Annotated[
            Word | None, Field(description="As of funnel; without it, any act.")
        ] = None,
        back: Annotated[
            Word | None, Field(description="What they came back for; without it: step.")
        ] = None,
        every: Annotated[Every, Field(description="How long a period is.")] = "week",
        where: Where = None,
        start: Start = None,
        end: End = None,
        person: Person = None,
        project: Project = None,
        max_tokens: Tokens = _TOKENS,
    ) -> Table:
        """People who took a step for the first time in a period, and how many came back in each
        later one; not_over names what can still grow. Without start, eight periods up to end."""
        asked = _asked(start, end, None, person, project, where)
        with reading(self._store, SECONDS) as connection:
            answer = retention(connection, asked, step, back=back, every=every)
        return _table(answer, MOST_PERIODS, max_tokens)


def _asked(
    start: str | None,
    end: str | None,
    compare_to: str | None,
    person: str | None,
    project: str | None,
    where: str | None,
) -> Asked:
    first, last = bounds(start, end)
    before = compare_to if compare_to == PREVIOUS else moment_of("compare_to", compare_to)
    return Asked(first, last, project, person, where, before)


def _table(answer: Answer, limit: int, max_tokens: int) -> Table:
    return fitted(
        list(answer.columns),
        answer.rows,
        limit=limit,
        max_tokens=max_tokens,
        summary=answer.summary,
    )
