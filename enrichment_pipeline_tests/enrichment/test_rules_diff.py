"""What rules would change is reported before they change anything, and is what they then change."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.re_enrich import re_enrich
from enrichment_pipeline.enrichment.rules_diff import diff_rules
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.stored_sessions import take_in

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

FILE = """
events:
  order_placed: {event_type: custom, action_type: submit}
  $web_vitals: {event_type: navigation, action_type: view}
patterns:
  - {contains: [basket], action_type: change}
"""


@pytest.fixture
def others(tmp_path: Path) -> Rules:
    file = tmp_path / "rules.yaml"
    file.write_text(FILE)
    return load_rules(file)


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    names = [
        *[("order_placed", hour) for hour in (0, 0, 5)],
        *[("Basket Opened", 1), ("$pageview", 0), ("$web_vitals", 3), ("product_seen", 2)],
    ]
    take_in(store, rules, [make_event(name, NOON + hour * HOUR) for name, hour in names])
    clicks = [
        make_event("$autocapture", NOON + 4 * HOUR, properties={"$event_type": kind})
        for kind in ("click", "submit", "change")
    ]
    take_in(store, rules, clicks)
    return store


def everything(store: Store) -> list[tuple[object, ...]]:
    with store.transaction() as connection:
        return [
            tuple(row)
            for row in connection.execute(text("SELECT * FROM enriched_event ORDER BY uuid"))
        ]


def test_the_same_rules_change_nothing(filled: Store, rules: Rules) -> None:
    found = diff_rules(filled, rules)
    assert (found.changes, found.events, found.windows) == ([], 0, [])
    assert found.versions == {rules.version: 10}


def test_a_diff_shows_names_counts_windows_and_samples(filled: Store, others: Rules) -> None:
    before = everything(filled)
    found = diff_rules(filled, others)
    assert everything(filled) == before
    assert [(one.event, one.was, one.is_now, one.events) for one in found.changes] == [
        ("order_placed", "custom/click", "custom/submit", 3),
        ("$web_vitals", "unknown/unknown", "navigation/view", 1),
        ("Basket Opened", "custom/navigate", "custom/change", 1),
    ]
    assert found.changes[0].windows == [NOON, NOON + 5 * HOUR]
    assert found.changes[0].sample == "order placed on /pricing"
    assert found.windows == [NOON, NOON + HOUR, NOON + 3 * HOUR, NOON + 5 * HOUR]
    assert found.rules_version == others.version


def test_a_sub_type_is_regarded(filled: Store, rules: Rules, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text("events:\n  $autocapture: {event_type: click, action_type: click}\n")
    found = diff_rules(filled, load_rules(file))
    assert [(one.was, one.is_now) for one in found.changes] == [
        ("click/change", "click/click"),
        ("click/submit", "click/click"),
    ]


def test_what_a_diff_shows_is_what_re_enriching_changes(filled: Store, others: Rules) -> None:
    expected = diff_rules(filled, others)
    changes = re_enrich(filled, others, expected.windows)
    assert {(one.event, one.was, one.is_now) for one in changes.changes} == {
        (one.event, one.was, one.is_now) for one in expected.changes
    }
    assert changes.events == expected.events
    assert diff_rules(filled, others).changes == []


def test_events_without_a_raw_one_are_counted_apart(filled: Store, others: Rules) -> None:
    with filled.transaction() as connection:
        connection.execute(text("DELETE FROM raw_event WHERE event = 'order_placed'"))
    found = diff_rules(filled, others)
    assert (found.changes[0].events, found.changes[0].without_raw) == (3, 3)
    assert found.events == 2
    assert NOON + 5 * HOUR not in found.windows
