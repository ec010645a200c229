"""The histogram of the time from the commit of an event to its enriched row."""

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.latency import BUCKETS, Latency, latency, observe_latency
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline_tests.conftest import raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def look(store: Store) -> Latency:
    with store.transaction() as connection:
        return latency(connection)


def test_each_enriched_event_is_counted_once_under_the_time_that_it_took(
    store: Store, rules: Rules
) -> None:
    assert look(store) == Latency([0] * (len(BUCKETS) + 1), 0.0)
    load_events(store, raw_events(3, NOON), [], "test")
    with store.transaction() as connection:
        connection.execute(text("UPDATE raw_batch SET created_at = now() - interval '20 seconds'"))
    load_events(store, raw_events(2, NOON), [], "test")
    enrich_due(store, rules)
    found = look(store)
    assert sum(found.counts) == 5
    assert found.counts[BUCKETS.index(30.0)] == 3
    assert found.seconds >= 60


def test_events_of_the_past_are_not_counted(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(3, NOON), [], "test", historical=True)
    enrich_due(store, rules)
    assert sum(look(store).counts) == 0


@given(seconds=st.lists(st.floats(0.0, 5000.0), min_size=1, max_size=5))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_time_falls_under_the_first_bound_above_it(
    store: Store, seconds: list[float]
) -> None:
    with store.transaction() as connection:
        connection.execute(text("TRUNCATE enrichment_latency, raw_batch"))
    for second in seconds:
        with store.transaction() as connection:
            batch = connection.execute(
                text(
                    """
                    INSERT INTO raw_batch (
                        window_start, source, state, event_count, due_at, created_at
                    )
                    VALUES (now(), 'test', 'pending', 1, now(), now() - :waited * interval '1 s')
                    RETURNING id
                    """
                ),
                {"waited": second},
            ).scalar_one()
            observe_latency(connection, [batch])
    found = look(store)
    assert sum(found.counts) == len(seconds)
    for bound, upto in zip(BUCKETS, range(1, len(BUCKETS) + 1), strict=True):
        # What was observed took a moment more.
        surely = sum(second < bound - 0.5 for second in seconds)
        possibly = sum(second < bound for second in seconds)
        assert surely <= sum(found.counts[:upto]) <= possibly
