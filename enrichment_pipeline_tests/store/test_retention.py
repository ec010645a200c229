"""Windows, partitions and retention."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import Connection, text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.partitions import ensure_partitions, partition_days
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.lifecycle import retention as module
from enrichment_pipeline.store.lifecycle.retention import (
    FirstKept,
    RetentionReport,
    drop_days_before,
    first_days_kept,
    make_partitions_ahead,
)
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.poison import RAISES, poisoned

DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


def drop_before(
    store: Store, day: date, enriched: date | None = None, dead: date | None = None
) -> RetentionReport:
    return drop_days_before(store, FirstKept(day, enriched or day, dead))


def count(store: Store, table: str) -> int:
    with store.transaction() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def change(store: Store, statement: str) -> None:
    with store.transaction() as connection:
        connection.execute(text(statement))


def totals(store: Store) -> list[tuple[int, int, int, int]]:
    """The books of each window, by the batches and counted, after making sure that both agree."""
    with store.transaction() as connection:
        kept = books(connection)
        counted = counted_books(connection, [window.window_start for window in kept], HOUR)
    assert kept == counted
    assert all(window.balances for window in kept)
    return [window[1:] for window in kept]


def broken(payload: bytes, at: datetime) -> RejectedEvent:
    return RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", payload, at)


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
        assert connection.execute(text("SELECT count(*) FROM raw_batch")).scalar_one() == 1
    assert load_events(store, events, [], "test").accepted == 3


def keep_session(store: Store, *days: date) -> None:
    """Rows of a session of each day."""
    for day in days:
        change(
            store,
            "INSERT INTO session_timeline (project, session_id, day, distinct_id, started_at,"
            " ended_at, events, pages, outline, signals, timeline)"
            f" VALUES ('default', '{day}', '{day}', 'user-1', '{day}', '{day}', 1, 1, 'x', '{{}}',"
            " 'x')",
        )


def session_days(store: Store) -> list[date]:
    """The days of which there are sessions."""
    with store.transaction() as connection:
        found = connection.execute(text("SELECT day FROM session_timeline ORDER BY 1"))
        return list(found.scalars())


def test_sessions_go_with_the_enriched_events_of_their_day(store: Store, rules: Rules) -> None:
    days = [(FIRST + number * DAY).date() for number in range(3)]
    for number in range(3):
        load_events(store, raw_events(1, FIRST + number * DAY), [], "test")
    enrich_due(store, rules)
    keep_session(store, *days)
    drop_before(store, days[2], days[1])
    assert session_days(store) == days[1:]
    drop_before(store, days[2], days[2])
    assert session_days(store) == days[2:]


def test_the_ids_of_a_person_go_with_their_last_event(store: Store, rules: Rules) -> None:
    def identify(number: int, at: datetime, name: str = "$identify") -> None:
        properties = {"$anon_distinct_id": f"anonymous-{number}"}
        events = raw_events(1, at, event=name, distinct_id=f"user-{number}", properties=properties)
        load_events(store, events, [], "test")

    rules = poisoned(rules, poison=RAISES)
    for number in range(5):
        identify(number, FIRST)
    load_events(store, raw_events(1, FIRST + DAY, distinct_id="anonymous-1"), [], "test")
    load_events(store, raw_events(5, FIRST + DAY), [], "test")
    enrich_due(store, rules)
    # Dead alone, and nobody needs it; pending; and enriched, on a day that is kept enriched.
    load_events(
        store,
        [
            *raw_events(1, FIRST + DAY, event="poison", distinct_id="user-2"),
            *raw_events(5, FIRST + DAY, distinct_id="nobody"),
        ],
        [],
        "test",
    )
    enrich_due(store, rules)
    change(store, "UPDATE dead_letter SET state = 'discarded', closed_at = now()")
    load_events(store, raw_events(1, FIRST + DAY, distinct_id="user-3"), [], "test")
    drop_before(store, (FIRST + DAY).date(), FIRST.date())
    assert count(store, "person") == 10, "their enriched events are there"
    drop_before(store, (FIRST + DAY).date())
    with store.transaction() as connection:
        left = connection.execute(text("SELECT distinct_id FROM person")).scalars()
        assert sorted(left) == [
            *("anonymous-1", "anonymous-2", "anonymous-3", "user-1", "user-2", "user-3")
        ]


def test_sessions_of_a_day_that_is_kept_stay(store: Store) -> None:
    load_events(store, raw_events(1, FIRST), [], "test")
    keep_session(store, FIRST.date())
    assert drop_before(store, date(2026, 4, 1)).refused != {}
    assert session_days(store) == [FIRST.date()]


def test_a_day_with_pending_events_is_kept_and_the_reason_reported(store: Store) -> None:
    load_events(store, raw_events(3, FIRST), [], "test")
    report = drop_before(store, date(2026, 4, 1))
    assert report.dropped == []
    assert report.refused == {FIRST.date(): "3 events are pending"}


def test_a_day_with_an_open_letter_is_kept_until_the_letter_is_closed(
    store: Store, rules: Rules
) -> None:
    broken = RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"x", FIRST)
    load_events(store, raw_events(3, FIRST), [broken], "test")
    enrich_due(store, rules)
    assert drop_before(store, date(2026, 4, 1)).refused == {FIRST.date(): "1 dead letter is open"}
    with store.transaction() as connection:
        connection.execute(text("UPDATE dead_letter SET state = 'discarded'"))
    assert drop_before(store, date(2026, 4, 1)).dropped == [FIRST.date()]


def test_a_day_whose_events_were_all_rejected_is_kept_and_dropped_like_any_other(
    store: Store,
) -> None:
    broken = RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", b"x", FIRST)
    load_events(store, [], [broken], "test")
    assert drop_before(store, date(2026, 4, 1)).refused == {FIRST.date(): "1 dead letter is open"}
    with store.transaction() as connection:
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


def test_enriched_events_stay_longer_than_their_raw_ones_where_they_shall(
    store: Store, rules: Rules
) -> None:
    for days in range(3):
        load_events(store, raw_events(2, FIRST + days * DAY), [], "test")
    enrich_due(store, rules)
    raw, enriched = (FIRST + 2 * DAY).date(), (FIRST + DAY).date()
    report = drop_before(store, raw, enriched)
    assert report.dropped == [FIRST.date(), (FIRST + DAY).date()]
    assert report.dropped_enriched == []
    assert [count(store, name) for name in ("raw_event", "event_key", "enriched_event")] == [
        2,
        2,
        4,
    ]
    assert totals(store) == [(2, 2, 0, 0)]

    report = drop_before(store, raw, raw)
    assert (report.dropped, report.dropped_enriched) == ([], [(FIRST + DAY).date()])
    assert count(store, "enriched_event") == 2


def test_enriched_events_that_outlived_their_raw_ones_are_in_no_books_of_events_that_come_later(
    store: Store, rules: Rules
) -> None:
    load_events(store, raw_events(3, FIRST), [], "test")
    enrich_due(store, rules)
    drop_before(store, (FIRST + 2 * DAY).date(), FIRST.date())
    load_events(store, raw_events(2, FIRST), [], "test")
    enrich_due(store, rules)
    assert totals(store) == [(2, 2, 0, 0)]
    assert count(store, "enriched_event") == 5


def test_enriched_events_stay_where_their_raw_ones_must(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(2, FIRST), [], "test")
    enrich_due(store, rules)
    load_events(store, raw_events(1, FIRST), [], "test")
    report = drop_before(store, date(2026, 4, 1))
    assert report.refused == {FIRST.date(): "1 event is pending"}
    assert totals(store) == [(3, 2, 0, 1)]


def test_closed_letters_go_before_their_window_and_the_books_balance(
    store: Store, rules: Rules
) -> None:
    rules = poisoned(rules, poison=RAISES)
    letters = [broken(payload, FIRST) for payload in (b"a", b"b", b"c")]
    load_events(store, raw_events(3, FIRST), [*letters, broken(b"d", FIRST + DAY)], "test")
    events = [*raw_events(1, FIRST, event="poison"), *raw_events(2, FIRST)]
    load_events(store, events, [], "test")
    enrich_due(store, rules)
    assert totals(store) == [(9, 5, 4, 0), (1, 0, 1, 0)]
    change(store, "UPDATE dead_letter SET state = 'discarded' WHERE id > 1")

    report = drop_before(store, date.min, dead=(FIRST + DAY).date())
    assert (report.dropped, report.letters) == ([], 2)
    # That of the event in raw_event stays with it, as do the open one and that of the day after.
    assert totals(store) == [(7, 5, 2, 0), (1, 0, 1, 0)]
    assert count(store, "dead_letter") == 3
    assert drop_before(store, date.min, dead=(FIRST + DAY).date()).letters == 0

    change(store, "UPDATE dead_letter SET state = 'resolved' WHERE uuid IS NULL AND id = 1")
    change(
        store,
        "UPDATE raw_batch SET event_count = event_count - 1, dead_count = dead_count - 1"
        " WHERE id = (SELECT batch_id FROM dead_letter WHERE id = 1)",
    )
    assert drop_before(store, date.min, dead=(FIRST + DAY).date()).letters == 1
    assert totals(store) == [(6, 5, 1, 0), (1, 0, 1, 0)]


def test_closed_letters_stay_longer_than_their_window_where_they_shall(store: Store) -> None:
    load_events(store, [], [broken(b"a", FIRST)], "test")
    change(store, "UPDATE dead_letter SET state = 'discarded', uuid = gen_random_uuid()")
    assert drop_before(store, date(2026, 4, 1), dead=FIRST.date()).dropped == [FIRST.date()]
    assert [count(store, name) for name in ("raw_batch", "dead_letter")] == [0, 1]
    assert drop_before(store, date(2026, 4, 1), dead=date(2026, 4, 1)).letters == 1
    assert count(store, "dead_letter") == 0


def test_inputs_go_with_the_last_day_that_has_them(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(1, FIRST, event="only then"), [], "test")
    load_events(store, [*raw_events(1, FIRST), *raw_events(1, FIRST + DAY)], [], "test")
    enrich_due(store, rules)
    drop_before(store, (FIRST + DAY).date())
    assert [count(store, f"enrichment_{name}") for name in ("input", "output")] == [1, 1]


def test_a_day_that_is_being_read_is_kept_until_next_time_and_nobody_is_held_up(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    load_events(store, raw_events(1, FIRST), [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        connection.execute(text("SELECT * FROM enriched_event"))
        report = drop_before(store, date(2026, 4, 1))
        assert report.refused == {
            FIRST.date(): "its tables are in use (by a backup, or a long query)"
        }
    assert totals(store) == [(1, 1, 0, 0)]
    assert drop_before(store, date(2026, 4, 1)).dropped == [FIRST.date()]


def test_what_arrives_while_a_day_is_being_dropped_keeps_it(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_events(store, raw_events(1, FIRST), [], "test")
    enrich_due(store, rules)
    lock = module.lock_for_dropping

    def late(connection: Connection) -> None:
        monkeypatch.setattr(module, "lock_for_dropping", lock)
        load_events(store, raw_events(1, FIRST), [], "test")
        lock(connection)

    monkeypatch.setattr(module, "lock_for_dropping", late)
    assert drop_before(store, date(2026, 4, 1)).refused == {FIRST.date(): "1 event is pending"}
    assert totals(store) == [(2, 1, 0, 1)]


def test_events_that_come_for_an_old_day_while_days_are_dropped_keep_what_they_need(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_events(store, raw_events(2, FIRST), [], "test")
    enrich_due(store, rules)
    original = module.partition_days

    def arrive_between(connection: Connection, table: str) -> list[date]:
        # When the raw ones of the day are gone, and the enriched ones are not.
        if table == "enriched_event":
            load_events(store, raw_events(3, FIRST), [], "test")
        return original(connection, table)

    monkeypatch.setattr(module, "partition_days", arrive_between)
    report = drop_before(store, (FIRST + 10 * DAY).date())
    assert report.dropped == [FIRST.date()]
    assert report.refused == {FIRST.date(): "events of it have come in meanwhile"}
    assert enrich_due(store, rules).events == 3
    assert totals(store) == [(3, 3, 0, 0)]


def test_a_day_that_lost_a_deadlock_is_dropped_all_the_same(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in range(2):
        load_events(store, raw_events(1, FIRST + days * DAY), [], "test")
    enrich_due(store, rules)
    lock = module.lock_for_dropping

    def lose(connection: Connection) -> None:
        monkeypatch.setattr(module, "lock_for_dropping", lock)
        raise psycopg.errors.DeadlockDetected("deadlock detected")

    monkeypatch.setattr(module, "lock_for_dropping", lose)
    report = drop_before(store, date(2026, 4, 1))
    assert report.dropped == [FIRST.date(), (FIRST + DAY).date()]


def test_the_settings_say_which_days_are_kept() -> None:
    today = date(2026, 3, 31)
    assert first_days_kept(Settings(), today) is None
    assert first_days_kept(Settings(retention_days=10), today) == FirstKept(
        date(2026, 3, 21), date(2026, 3, 21)
    )
    several = Settings(retention_days=10, retention_days_enriched=20, retention_days_dead=5)
    assert first_days_kept(several, today) == FirstKept(
        date(2026, 3, 21), date(2026, 3, 11), date(2026, 3, 26)
    )
    assert first_days_kept(Settings(retention_days_dead=5), today) == FirstKept(
        date.min, date.min, date(2026, 3, 26)
    )


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


@pytest.mark.parametrize(
    "habit",
    [
        "ADD CONSTRAINT ours CHECK (event <> 'bad') NOT VALID",
        "ADD CONSTRAINT ours CHECK (event <> 'bad')",
        "ADD COLUMN ours text NOT NULL DEFAULT 'x'",
        "ADD COLUMN ours text GENERATED ALWAYS AS (upper(event)) STORED",
        "ALTER COLUMN event SET COMPRESSION pglz",
        "ALTER COLUMN event SET NOT NULL",
    ],
)
@pytest.mark.parametrize("table", ["raw_event", "enriched_event"])
def test_whatever_an_owner_has_added_to_a_table_new_days_are_made(
    store: Store, rules: Rules, table: str, habit: str
) -> None:
    load_events(store, raw_events(2, FIRST), [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        connection.execute(text(f"ALTER TABLE {table} {habit}"))
    load_events(store, raw_events(3, FIRST + DAY), [], "test")
    assert enrich_due(store, rules).events == 3


def test_partitions_are_made_ahead(store: Store) -> None:
    with store.transaction() as connection:
        make_partitions_ahead(connection, FIRST.date())
        assert partition_days(connection, "raw_event")[-1] == FIRST.date() + 3 * DAY
