"""Enriching again under other rules: what changes is said, and nothing else is touched."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.re_enrich import re_enrich
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.poison import IS_BAD, poisoned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def other_rules(tmp_path: Path) -> Rules:
    """Rules under which `order placed` is something else."""
    file = tmp_path / "rules.yaml"
    file.write_text(
        "events:\n  order placed: {event_type: click, action_type: submit}\n", encoding="utf-8"
    )
    return load_rules(file)


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement)).all())


@pytest.fixture
def enriched(store: Store, rules: Rules) -> None:
    load_events(store, [*raw_events(3, NOON, event="order placed"), *raw_events(2, NOON)], [], "t")
    load_events(store, raw_events(4, NOON + HOUR, event="order placed"), [], "test")
    enrich_due(store, rules)


def test_what_the_rules_of_now_say_otherwise_is_written_and_reported(
    store: Store, other_rules: Rules, enriched: None
) -> None:
    changes = re_enrich(store, other_rules, [NOON])
    assert changes.events == 3
    [change] = changes.changes
    assert (change.window_start, change.event, change.events) == (NOON, "order placed", 3)
    assert change.is_now == "click/submit" != change.was
    found = rows(
        store,
        "SELECT event_type, count(*), count(DISTINCT rules_version) FROM enriched_event "
        "WHERE event = 'order placed' GROUP BY 1 ORDER BY 1",
    )
    assert {kind: count for kind, count, _ in found}["click"] == 3
    assert rows(
        store,
        f"SELECT count(*) FROM enriched_event WHERE rules_version = '{other_rules.version}'",
    ) == [(5,)]


def test_the_same_rules_touch_nothing(store: Store, rules: Rules, enriched: None) -> None:
    before = rows(store, "SELECT ctid, * FROM enriched_event ORDER BY occurred_at, uuid")
    changes = re_enrich(store, rules, [NOON, NOON + HOUR])
    assert (changes.events, changes.changes) == (0, [])
    assert rows(store, "SELECT ctid, * FROM enriched_event ORDER BY occurred_at, uuid") == before


def test_what_cannot_be_enriched_now_keeps_what_it_has(
    store: Store, rules: Rules, enriched: None
) -> None:
    changes = re_enrich(store, poisoned(rules, **{"order placed": IS_BAD}), [NOON])
    assert changes.events == 0
    with store.transaction() as connection:
        assert counted_books(connection, [NOON, NOON + HOUR], HOUR) == books(connection)
    assert rows(store, "SELECT count(*) FROM enriched_event") == [(9,)]
    assert rows(store, "SELECT count(*) FROM dead_letter") == [(0,)]
