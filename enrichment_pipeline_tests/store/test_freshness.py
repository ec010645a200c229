"""How long enrichment takes, as the times of the batches say."""

from datetime import UTC, datetime

from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.freshness import recent_latency
from enrichment_pipeline_tests.conftest import raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def latencies(store: Store) -> list[float]:
    with store.transaction() as connection:
        return recent_latency(connection, (0.5, 0.9, 0.99))


def age(store: Store, column: str, seconds: int) -> None:
    with store.transaction() as connection:
        connection.execute(
            text(f"UPDATE raw_batch SET {column} = {column} - {seconds} * interval '1 s'")
        )


def test_each_event_counts_with_the_time_that_its_batch_took(store: Store, rules: Rules) -> None:
    assert latencies(store) == []
    load_events(store, raw_events(20, NOON), [], "test")
    age(store, "created_at", 20)
    load_events(store, raw_events(80, NOON), [], "test")
    enrich_due(store, rules)
    half, most, all_of_them = latencies(store)
    assert 0 < half < 20
    assert most >= 20
    assert all_of_them >= 20


def test_events_of_the_past_and_what_was_enriched_long_ago_say_nothing(
    store: Store, rules: Rules
) -> None:
    load_events(store, raw_events(3, NOON), [], "test", historical=True)
    enrich_due(store, rules)
    assert latencies(store) == []
    load_events(store, raw_events(3, NOON), [], "test")
    enrich_due(store, rules)
    age(store, "finished_at", 601)
    assert latencies(store) == []
