"""Asking the counting questions in tests, and filling a store with acts alone."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import text

from enrichment_pipeline.analytics.answers import Answer
from enrichment_pipeline.analytics.asking import Asked
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.reading.as_reader import reading
from enrichment_pipeline.wording import UserError
from enrichment_pipeline_tests.analytics.made_acts import NOON, STEPS, Act
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in

ALL = Asked(NOON, NOON + timedelta(days=1))
AGAIN = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])

Ask = Callable[..., Answer]


def asked(store: Store, question: Ask, *arguments: Any, **named: Any) -> Answer:
    with reading(store, 30) as connection:
        return question(connection, *arguments, **named)


def refused(store: Store, question: Ask, *arguments: Any, **named: Any) -> str:
    with pytest.raises(UserError) as caught:
        asked(store, question, *arguments, **named)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def cells(answer: Answer, *columns: str) -> list[tuple[Any, ...]]:
    places = [list(answer.columns).index(name) for name in columns]
    return [tuple(row[place] for place in places) for row in answer.rows]


def keep(store: Store, rules: Rules, acts: Sequence[Act]) -> None:
    """A store with these acts alone."""
    with store.transaction() as connection:
        tables = "enriched_event, raw_event, raw_batch, event_key, session_timeline, person"
        connection.execute(text(f"TRUNCATE {tables}"))
    joined = make_event(
        "$identify",
        NOON - timedelta(days=9),
        distinct_id="bob",
        properties={"$anon_distinct_id": "anonymous-7"},
    )
    take_in(store, rules, [joined, *(act.payload() for act in acts)])


def every_name() -> Iterator[Act]:
    """Acts long before, so that every name is known."""
    for step in STEPS:
        event = step.event or ("$autocapture" if step.label else "$pageview")
        yield Act(-20_000, event, step.page or "/", step.label, "zoe", "zero")
