"""The one enrichment path, on a real PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import path, writing
from enrichment_pipeline.enrichment.deriving import Derived, derive_missing
from enrichment_pipeline.enrichment.path import EnrichmentReport, enrich_due
from enrichment_pipeline.enrichment.replay import replay_marked
from enrichment_pipeline.events.people import People
from enrichment_pipeline.events.raw_event import (
    Arrival,
    EventRejectedError,
    RejectionReason,
    reject,
)
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import is_store_failure
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, mark_for_replay
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.lifecycle.forget import forget_events
from enrichment_pipeline.store.queue import enriched
from enrichment_pipeline.store.queue.claims import claim, reopen_dead
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import HOUR, make_event, raw_events
from enrichment_pipeline_tests.poison import RAISES, poisoned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

ALIKE = "5 of 5 events fail alike: ZeroDivisionError: a bug in the rules"

CHAIN = 'button.buy:attr__class="buy"nth-child="1"text="Buy now";body:nth-child="2"'


def rows(store: Store, statement: str, **parameters: object) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement), parameters).all())


def make_due(store: Store) -> None:
    rows(store, "UPDATE raw_batch SET due_at = now() WHERE state = 'pending' RETURNING id")


def load(store: Store, count: int, at: datetime = NOON, **fields: object) -> None:
    load_events(store, raw_events(count, at, **fields), [], "test")


def test_each_raw_event_gives_one_enriched_event_with_its_columns(
    store: Store, rules: Rules
) -> None:
    load(
        store,
        3,
        event="$autocapture",
        properties={
            "$event_type": "click",
            "$elements_chain": CHAIN,
            "$session_id": "s1",
            "$pathname": "/users/8231/cart",
            "title": "Cart",
            "sku": 1,
        },
    )
    report = enrich_due(store, rules)
    assert (report.events, report.batches, report.failures) == (3, 1, [])
    found = rows(store, "SELECT * FROM enriched_event ORDER BY occurred_at")
    assert len(found) == 3
    first = found[0]
    assert (first.event_type, first.action_type) == ("click", "click")
    assert first.occurred_at == NOON
    assert (first.distinct_id, first.session_id) == ("user-1", "s1")
    assert (first.path, first.path_template) == ("/users/8231/cart", "/users/:id/cart")
    assert (first.title, first.element_tag, first.element_label) == ("Cart", "button", "Buy now")
    assert first.description == 'Clicked button "Buy now" on /users/:id/cart'
    assert first.properties == {"sku": 1}
    assert first.rules_version == rules.version


def test_outputs_that_are_searched_for_give_what_all_outputs_give(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enriched, "_MANY_EVENTS", 1)
    for name in ("$pageview", "order placed", "$autocapture"):
        load(store, 3, event=name, properties={"$elements_chain": CHAIN})
    found = []
    for bytes_of_an_output in (10**9, 0):
        monkeypatch.setattr(enriched, "_OUTPUT_BYTES", bytes_of_an_output)
        with store.transaction() as connection:
            connection.execute(text("TRUNCATE enriched_event"))
            connection.execute(text("UPDATE raw_batch SET state = 'pending', enriched_count = 0"))
            # One output stays known.
            connection.execute(
                text("DELETE FROM enrichment_output WHERE description <> 'order placed'")
            )
        assert enrich_due(store, rules).events == 9
        found.append(
            rows(
                store,
                """
                SELECT occurred_at, event, event_type, action_type, description, element_label,
                    touch, path_template
                FROM enriched_event ORDER BY occurred_at, event
                """,
            )
        )
    assert found[0] == found[1]
    assert len(found[0]) == 9


def test_enriching_again_finds_nothing_to_do(store: Store, rules: Rules) -> None:
    load(store, 5)
    assert enrich_due(store, rules).events == 5
    assert enrich_due(store, rules).events == 0
    assert rows(store, "SELECT count(*) FROM enriched_event")[0][0] == 5


def test_only_the_windows_asked_for_are_enriched(store: Store, rules: Rules) -> None:
    load(store, 2, NOON)
    load(store, 3, NOON + HOUR)
    assert enrich_due(store, rules, [NOON + HOUR]).events == 3
    with store.transaction() as connection:
        assert [window.pending for window in books(connection)] == [2, 0]


def test_what_comes_due_meanwhile_may_be_left_to_the_next_call(store: Store, rules: Rules) -> None:
    def load_more(_: EnrichmentReport) -> None:
        load(store, 1, NOON + HOUR)

    load(store, 5)
    left = enrich_due(store, rules, only_due_now=True, on_progress=load_more)
    assert left.events == 5
    assert enrich_due(store, rules).events == 1


def test_a_claim_takes_no_more_than_it_may_and_never_less_than_a_batch(store: Store) -> None:
    for number in range(20):
        load(store, 10, NOON + HOUR * number)
    with store.transaction() as connection:
        assert 30 <= sum(batch.due_count for batch in claim(connection, 30)) <= 50
    with store.transaction() as connection:
        assert [batch.due_count for batch in claim(connection, 1)] == [10]


def test_what_one_worker_has_claimed_another_passes_over(store: Store) -> None:
    for number in range(4):
        load(store, 10, NOON + HOUR * number)
    with store.transaction() as first, store.transaction() as second:
        mine = {batch.id for batch in claim(first, 20)}
        others = {batch.id for batch in claim(second, 1_000)}
    assert len(mine) == 2
    assert len(others) == 2
    assert not mine & others


def test_four_workers_at_once_enrich_every_event_once(store: Store, rules: Rules) -> None:
    for number in range(12):
        load(store, 50, NOON + HOUR * number)
    start = Barrier(4)

    def work() -> None:
        start.wait()
        enrich_due(store, rules, claim_events=100)

    workers = [Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert rows(store, "SELECT count(*), count(DISTINCT uuid) FROM enriched_event") == [(600, 600)]


def test_a_batch_that_fails_is_charged_and_its_neighbours_are_not(
    store: Store, rules: Rules
) -> None:
    load(store, 5, NOON)
    load(store, 5, NOON + HOUR, event="poison")
    report = enrich_due(store, poisoned(rules, poison=RAISES))
    assert report.events == 5
    assert len(report.failures) == 1
    found = rows(store, "SELECT state, attempts, last_error FROM raw_batch ORDER BY id")
    assert found == [("enriched", 0, None), ("pending", 1, ALIKE)]


def test_a_batch_that_failed_waits_and_is_not_due_before(store: Store, rules: Rules) -> None:
    load(store, 5, event="poison")
    failing = poisoned(rules, poison=RAISES)
    enrich_due(store, failing)
    assert enrich_due(store, rules).events == 0
    make_due(store)
    assert enrich_due(store, rules).events == 5


def test_after_three_retries_a_batch_is_a_dead_letter_and_the_books_balance(
    store: Store, rules: Rules
) -> None:
    load(store, 5, event="poison")
    for _ in range(4):
        enrich_due(store, poisoned(rules, poison=RAISES))
        make_due(store)
    assert rows(store, "SELECT state, attempts FROM raw_batch") == [("dead", 4)]
    letter = rows(store, "SELECT * FROM dead_letter")[0]
    assert (letter.kind, letter.event_count, letter.attempts) == ("batch", 5, 4)
    assert (letter.reason_code, letter.message) == ("enrichment_failed", ALIKE)
    assert "ZeroDivisionError" in letter.traceback
    assert letter.rules_version == f"poisoned {rules.version}"
    with store.transaction() as connection:
        kept, counted = books(connection), counted_books(connection, [NOON], HOUR)
    assert kept == counted
    assert (kept[0].accepted, kept[0].dead, kept[0].balances) == (5, 5, True)


def test_a_reopened_batch_is_enriched_and_its_letter_resolved(store: Store, rules: Rules) -> None:
    load(store, 5, event="poison")
    for _ in range(4):
        enrich_due(store, poisoned(rules, poison=RAISES))
        make_due(store)
    with store.transaction() as connection:
        assert reopen_dead(connection, [NOON + HOUR]) == 0
        assert reopen_dead(connection, [NOON]) == 1
    assert enrich_due(store, rules).events == 5
    assert rows(store, "SELECT state FROM dead_letter") == [("resolved",)]
    with store.transaction() as connection:
        assert counted_books(connection, [NOON], HOUR) == books(connection)


def test_a_failure_of_the_store_spends_no_attempt(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(store, 5)

    def cut_off(*arguments: Any) -> None:
        rows(
            store,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )

    monkeypatch.setattr(writing, "plan_claim", cut_off)
    with pytest.raises(Exception, match=r"terminat|closed|went away"):
        enrich_due(store, rules)
    monkeypatch.undo()
    assert rows(store, "SELECT state, attempts FROM raw_batch") == [("pending", 0)]
    assert enrich_due(store, rules).events == 5


def test_a_batch_that_changes_between_two_claims_is_taken_as_it_is_now(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_events(store, raw_events(5, NOON, event="bad"), [], "test")
    load_events(store, [*raw_events(2, NOON), *raw_events(2, NOON, distinct_id="ann")], [], "test")
    original = path.claim_again

    def after_forgetting(*arguments: Any) -> Any:
        forget_events(store, People(["ann"]))
        return original(*arguments)

    monkeypatch.setattr(path, "claim_again", after_forgetting)
    report = enrich_due(store, poisoned(rules, bad=RAISES))
    assert report.events == 2
    with store.transaction() as connection:
        [window] = books(connection)
    assert (window.accepted, window.enriched, window.dead, window.pending) == (7, 2, 0, 5)


def test_a_batch_that_a_replay_changes_between_two_claims_is_taken_as_it_is_now(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = EventRejectedError(RejectionReason.BEFORE_FIRST_PARTITION, "too early")
    refused = reject(make_event(at=NOON), "default", Arrival(NOON), error)
    load_events(store, raw_events(5, NOON, event="bad"), [], "test")
    load_events(store, raw_events(2, NOON), [refused], "test")
    original = path.claim_again
    replays: list[int] = []

    def after_a_replay(*arguments: Any) -> Any:
        if not replays:
            with store.transaction() as connection:
                mark_for_replay(connection, LetterFilter())
            replays.append(replay_marked(store, rules, "test", 1e9).resolved)
        return original(*arguments)

    monkeypatch.setattr(path, "claim_again", after_a_replay)
    report = enrich_due(store, poisoned(rules, bad=RAISES))
    assert (replays, report.events) == ([1], 3)
    with store.transaction() as connection:
        [window] = books(connection)
        assert counted_books(connection, [window.window_start], HOUR) == [window]
    assert (window.accepted, window.enriched, window.dead, window.pending) == (8, 3, 0, 5)


def test_a_server_that_may_only_be_read_as_after_a_fail_over_spends_no_attempt(
    store: Store, rules: Rules
) -> None:
    load_events(store, raw_events(3, NOON), [], "test")
    name = store.engine.url.database
    with store.transaction() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only TO on"))
    store.engine.dispose()
    with pytest.raises(psycopg.Error, match="read-only transaction") as raised:
        enrich_due(store, rules)
    assert is_store_failure(raised.value)
    with store.transaction() as connection:
        connection.execute(text("SET TRANSACTION READ WRITE"))
        connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
    store.engine.dispose()
    assert rows(store, "SELECT attempts FROM raw_batch") == [(0,)]
    assert enrich_due(store, rules).events == 3


def test_a_batch_set_back_by_hand_is_enriched_again_and_not_twice(
    store: Store, rules: Rules
) -> None:
    load(store, 5)
    enrich_due(store, rules)
    rows(store, "UPDATE raw_batch SET state = 'pending', enriched_count = 0 RETURNING id")
    report = enrich_due(store, rules)
    assert (report.events, report.failures) == (5, [])
    assert rows(store, "SELECT count(*) FROM enriched_event") == [(5,)]


def test_raw_events_that_are_gone_are_reported_and_not_counted_as_enriched(
    store: Store, rules: Rules
) -> None:
    load(store, 5)
    rows(store, "DELETE FROM raw_event RETURNING uuid")
    report = enrich_due(store, rules)
    assert report.events == 0
    assert "5 events are due in 1 batch, but raw_event has 0" in report.failures[0].message


def test_each_distinct_input_is_kept_once_and_its_rules_run_once(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived: list[object] = []

    def noted(store: Store, keys: Sequence[UUID], rules: Rules) -> Derived:
        derived.extend(keys)
        return derive_missing(store, keys, rules)

    monkeypatch.setattr(writing, "derive_missing", noted)
    load(store, 50, NOON)
    load(store, 50, NOON + HOUR)
    enrich_due(store, rules)
    assert len(derived) == 1
    assert rows(store, "SELECT count(*) FROM enrichment_input") == [(1,)]


LIMIT = """
CREATE FUNCTION refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT count(*) FROM added) > 5 THEN
        RAISE EXCEPTION 'canceling statement due to a limit' USING ERRCODE = 'query_canceled';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER refuse_many AFTER INSERT ON enriched_event
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION refuse_many()
"""


def test_a_claim_that_is_cancelled_is_tried_with_half_as_many_events_and_spends_nothing(
    store: Store, rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(8):
        load(store, 3)
    with store.transaction() as connection:
        connection.execute(text(LIMIT))
    report = enrich_due(store, rules)
    assert (report.events, report.failures) == (24, [])
    assert rows(store, "SELECT DISTINCT attempts FROM raw_batch") == [(0,)]
    assert "cancelled a claim of 24 events (canceling statement due to a limit)" in caplog.text


def test_a_batch_that_is_cancelled_alone_is_a_failure_of_the_store(
    store: Store, rules: Rules
) -> None:
    load(store, 6)
    with store.transaction() as connection:
        connection.execute(text(LIMIT))
    with pytest.raises(DBAPIError, match="due to a limit") as raised:
        enrich_due(store, rules)
    assert is_store_failure(raised.value)
    assert rows(store, "SELECT state, attempts FROM raw_batch") == [("pending", 0)]
