"""The change feed: what appends to it, what a consumer takes, and that it stays small."""

from datetime import UTC, date, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.schema import downgrade, upgrade
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.queue.changes import (
    Consumer,
    append_changes,
    changed_days,
    changed_windows,
    lock_windows,
    remove_changes,
    sessions_watermark,
    take_day,
    take_letter_changes,
)
from enrichment_pipeline_tests.conftest import HOUR, raw_events

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = date(2026, 3, 1)


def rows(store: Store, statement: str) -> list[Any]:
    with store.transaction() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def enrich(store: Store, rules: Rules, count: int = 2, hour: int = 0) -> None:
    load_events(store, raw_events(count, START + hour * HOUR), [], "test")
    assert enrich_due(store, rules).events == count


def of_dagster(store: Store) -> list[datetime]:
    with store.transaction() as connection:
        return changed_windows(connection, HOUR, timedelta(seconds=30), 100)


def test_a_window_is_there_for_each_consumer_until_that_one_has_seen_it(
    store: Store, rules: Rules
) -> None:
    enrich(store, rules)
    assert of_dagster(store) == [START]
    with store.transaction() as connection:
        remove_changes(connection, Consumer.WINDOWS, [START])
        assert [changed.day for changed in changed_days(connection)] == [DAY]
    assert of_dagster(store) == []
    with store.transaction() as connection:
        take_day(connection, DAY)
        assert changed_days(connection) == []


def test_a_consumer_whose_work_fails_finds_the_change_again(store: Store, rules: Rules) -> None:
    enrich(store, rules)

    def fail() -> None:
        with store.transaction() as connection:
            remove_changes(connection, Consumer.WINDOWS, [START])
            raise RuntimeError("the work failed")

    with pytest.raises(RuntimeError):
        fail()
    assert of_dagster(store) == [START]


def test_events_that_only_wait_are_no_change(store: Store) -> None:
    load_events(store, raw_events(2, START), [], "test")
    assert rows(store, "SELECT * FROM enriched_change") == []


def test_a_window_in_which_events_wait_is_there_after_a_while(store: Store, rules: Rules) -> None:
    enrich(store, rules)
    load_events(store, raw_events(2, START), [], "test")
    assert of_dagster(store) == []
    with store.transaction() as connection:
        connection.execute(text("UPDATE enriched_change SET changed_at = now() - interval '31 s'"))
    assert of_dagster(store) == [START]


def test_dead_letters_are_changes_of_their_window_and_of_the_asset(store: Store) -> None:
    load_events(
        store,
        [],
        [RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"x", START)],
        "test",
    )
    assert of_dagster(store) == [START]
    with store.transaction() as connection:
        assert take_letter_changes(connection)
        assert not take_letter_changes(connection)


def test_a_day_says_which_batches_have_changed(store: Store, rules: Rules) -> None:
    for hour in (0, 5):
        enrich(store, rules, hour=hour)
    known = [batch for (batch,) in rows(store, "SELECT id FROM raw_batch ORDER BY 1")]
    with store.transaction() as connection:
        changes = take_day(connection, DAY)
    assert (sorted(changes.batch_ids), changes.is_whole) == (known, False)


@pytest.mark.parametrize("why", ["rows came out otherwise", "retention dropped the batch"])
def test_a_day_is_whole_where_batches_do_not_say_what_has_changed(
    store: Store, rules: Rules, why: str
) -> None:
    enrich(store, rules)
    with store.transaction() as connection:
        if why.startswith("rows"):
            append_changes(connection, [START])
        else:
            connection.execute(text("DELETE FROM raw_batch"))
    with store.transaction() as connection:
        assert take_day(connection, DAY).is_whole


def test_two_consumers_of_one_kind_do_each_change_once(store: Store, rules: Rules) -> None:
    enrich(store, rules)
    taken: list[list[int]] = []

    def take() -> None:
        with store.transaction() as other:
            taken.append(take_day(other, DAY).batch_ids)

    with store.transaction() as connection:
        taken.append(take_day(connection, DAY).batch_ids)
        thread = Thread(target=take)
        thread.start()
    thread.join()
    assert sorted(map(len, taken)) == [0, 1]


def test_two_sensors_that_tick_at_once_show_each_window_and_letter_once(
    store: Store, rules: Rules
) -> None:
    enrich(store, rules)
    load_events(
        store,
        [],
        [RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"x", START)],
        "test",
    )
    with store.transaction() as one, store.transaction() as other:
        assert take_letter_changes(one)
        assert not take_letter_changes(other)
        assert lock_windows(one, [START], wait=False) == [START]
        remove_changes(one, Consumer.WINDOWS, [START])
        assert lock_windows(other, [START], wait=False) == []
    assert of_dagster(store) == []


def test_who_shows_a_window_is_waited_for_or_passed_over(store: Store) -> None:
    windows = [START, START + HOUR]
    with store.transaction() as one, store.transaction() as other:
        assert lock_windows(one, windows[:1], wait=True) == windows[:1]
        assert lock_windows(other, windows, wait=False) == windows[1:]
    with store.transaction() as one:
        assert lock_windows(one, windows, wait=True) == windows


def test_ten_thousand_windows_can_be_locked(store: Store) -> None:
    many = [START + number * HOUR for number in range(10_000)]
    with store.transaction() as connection:
        assert lock_windows(connection, many, wait=True) == many


@pytest.mark.slow
def test_the_feed_stays_small_when_nobody_consumes_it_and_loses_nothing(
    store: Store, rules: Rules
) -> None:
    enrich(store, rules)
    with store.transaction() as connection:
        for _ in range(5):
            connection.execute(
                text(
                    "INSERT INTO enriched_change (consumer, window_start, batch_ids) "
                    "SELECT 'sessions', CAST(:start AS timestamptz) + n % 3 * interval '1 h', "
                    "ARRAY[n] FROM generate_series(1, 10000) n"
                ),
                {"start": START},
            )
    assert rows(store, "SELECT count(*) < 10100 FROM enriched_change") == [(True,)]
    with store.transaction() as connection:
        assert take_day(connection, DAY).is_whole
    assert of_dagster(store) == [START]


def test_a_store_of_the_version_before_begins_with_what_its_consumers_have_not_seen(
    store: Store, rules: Rules
) -> None:
    enrich(store, rules)
    enrich(store, rules, hour=30)
    load_events(
        store,
        [],
        [RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"x", START)],
        "test",
    )
    with store.transaction() as connection:
        downgrade(connection, "0006")
        connection.execute(
            text(
                "INSERT INTO session_day VALUES ('2026-03-01', now(), 2), ('2026-03-02', now(), 1)"
            )
        )
        upgrade(connection)
    assert of_dagster(store) == [START + 30 * HOUR, START], "their partitions are to be made"
    with store.transaction() as connection:
        [changed] = changed_days(connection)
        assert changed.day == date(2026, 3, 2)
        assert take_day(connection, date(2026, 3, 2)).is_whole
        assert take_letter_changes(connection)


def test_the_watermark_is_that_of_the_oldest_change_that_sessions_lack(
    store: Store, rules: Rules
) -> None:
    def behind() -> bool:
        with store.transaction() as connection:
            return bool(
                sessions_watermark(connection)
                < connection.execute(text("SELECT now()")).scalar_one()
            )

    assert not behind()
    enrich(store, rules)
    assert behind()
    with store.transaction() as connection:
        take_day(connection, DAY)
    assert not behind()
