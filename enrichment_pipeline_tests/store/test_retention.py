"""Windows, partitions and retention."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import Reason, RejectedEvent
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline.store.partitions import ensure_partitions, partition_days
from enrichment_pipeline.store.retention import (
    RetentionReport,
    drop_days_before,
    make_partitions_ahead,
)
from enrichment_pipeline.store.windows import (
    Covered,
    covered,
    extend_covered,
    partition_start,
    widen_partition_start,
)
from enrichment_pipeline_tests.conftest import HOUR, raw_events

DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


def drop_before(store: Store, day: date) -> RetentionReport:
    with store.transaction() as connection:
        return drop_days_before(connection, day)


def test_days_past_retention_go_with_all_that_belongs_to_them(store: Store, rules: Rules) -> None:
    events = [*raw_events(3, FIRST), *raw_events(3, FIRST + DAY)]
    load_events(store, events, [], "test")
    enrich_due(store, rules)
    report = drop_before(store, (FIRST + DAY).date())
    assert (report.dropped, report.refused) == ([FIRST.date()], {})
    with store.transaction() as connection:
        for table in ("raw_event", "enriched_event", "event_key"):
            left = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            assert left == 3, table
        assert partition_days(connection, "raw_event") == [(FIRST + DAY).date()]
        assert partition_days(connection, "enriched_event") == [(FIRST + DAY).date()]
        assert partition_start(connection) == datetime(2026, 3, 2, tzinfo=UTC)
        assert connection.execute(text("SELECT count(*) FROM raw_batch")).scalar_one() == 1
    assert load_events(store, events, [], "test").accepted == 3


def test_a_day_with_pending_events_is_kept_and_the_reason_told(store: Store) -> None:
    load_events(store, raw_events(3, FIRST), [], "test")
    report = drop_before(store, date(2026, 4, 1))
    assert report.dropped == []
    assert report.refused == {FIRST.date(): "3 events are pending"}
    with store.transaction() as connection:
        assert partition_start(connection).date() == FIRST.date()


def test_a_day_with_an_open_letter_is_kept_until_the_letter_is_closed(
    store: Store, rules: Rules
) -> None:
    broken = RejectedEvent("default", Reason.INVALID_JSON, "no JSON", b"x", FIRST)
    load_events(store, raw_events(3, FIRST), [broken], "test")
    enrich_due(store, rules)
    assert drop_before(store, date(2026, 4, 1)).refused == {FIRST.date(): "1 dead letters are open"}
    with store.transaction() as connection:
        connection.execute(text("UPDATE dead_letter SET state = 'discarded'"))
    assert drop_before(store, date(2026, 4, 1)).dropped == [FIRST.date()]


def test_a_day_whose_events_were_all_rejected_is_kept_and_dropped_like_any_other(
    store: Store,
) -> None:
    broken = RejectedEvent("default", Reason.INVALID_JSON, "no JSON", b"x", FIRST)
    load_events(store, [], [broken], "test")
    assert drop_before(store, date(2026, 4, 1)).refused == {FIRST.date(): "1 dead letters are open"}
    with store.transaction() as connection:
        assert partition_start(connection).date() == FIRST.date()
        connection.execute(text("UPDATE dead_letter SET state = 'discarded'"))
    assert drop_before(store, date(2026, 4, 1)).dropped == [FIRST.date()]
    with store.transaction() as connection:
        for table in ("raw_batch", "dead_letter", "event_key"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0
    assert drop_before(store, date(2026, 4, 1)) == RetentionReport()
    assert load_events(store, [], [broken], "test").quarantined.total() == 1


def test_a_batch_that_belongs_to_the_day_after_is_left_alone(store: Store, rules: Rules) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    moments = [midnight - timedelta(microseconds=1), midnight]
    load_events(store, [raw_events(1, moment)[0] for moment in moments], [], "test")
    enrich_due(store, rules)
    assert drop_before(store, midnight.date()).dropped == [date(2026, 3, 1)]
    with store.transaction() as connection:
        for table in ("raw_event", "enriched_event"):
            left = connection.execute(text(f"SELECT occurred_at FROM {table}")).scalars()
            assert list(left) == [midnight], table
        for table in ("raw_batch", "event_key"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 1


def test_partitions_are_made_once_by_however_many(store: Store) -> None:
    days = [FIRST.date() + DAY * number for number in range(5)]

    def make(_: int) -> None:
        with store.transaction() as connection:
            ensure_partitions(connection, days)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(8)))
    with store.transaction() as connection:
        assert partition_days(connection, "raw_event") == days
        assert partition_days(connection, "enriched_event") == days


def test_partitions_are_made_ahead(store: Store) -> None:
    with store.transaction() as connection:
        make_partitions_ahead(connection, FIRST.date())
        assert partition_days(connection, "raw_event")[-1] == FIRST.date() + 3 * DAY


def test_the_start_moves_back_to_the_day_of_older_events_and_never_forward(store: Store) -> None:
    with store.transaction() as connection:
        assert widen_partition_start(connection, FIRST) is None
        old = datetime(2025, 6, 5, 13, 7, tzinfo=UTC)
        assert widen_partition_start(connection, old) == datetime(2025, 6, 5, tzinfo=UTC)
        assert widen_partition_start(connection, old + HOUR) is None
        assert partition_start(connection) == datetime(2025, 6, 5, tzinfo=UTC)


def test_the_stretch_that_dagster_has_seen_grows_at_its_ends_and_has_no_holes(
    store: Store,
) -> None:
    with store.transaction() as connection:
        assert covered(connection) is None
        extend_covered(connection, FIRST, FIRST + HOUR)
        extend_covered(connection, FIRST + HOUR, FIRST + 2 * HOUR)
        extend_covered(connection, FIRST - HOUR, FIRST)
        assert covered(connection) == Covered(FIRST - HOUR, FIRST + 2 * HOUR)
        extend_covered(connection, FIRST + 5 * HOUR, FIRST + 6 * HOUR)
        assert covered(connection) == Covered(FIRST - HOUR, FIRST + 2 * HOUR)
