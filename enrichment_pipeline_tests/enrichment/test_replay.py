"""Replaying dead letters: each comes back once, or says why not."""

from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg.errors import DeadlockDetected
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import replay
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.replay import ReplayReport, replay_marked
from enrichment_pipeline.events.raw_event import (
    TIME_IS_ARRIVAL,
    UNREADABLE,
    Arrival,
    EventRejectedError,
    RejectedEvent,
    RejectionReason,
    parse_event,
    reject,
)
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.letters import (
    LetterFilter,
    count_letters,
    discard,
    find_letters,
    mark_for_replay,
    mark_transient,
    read_letters,
)
from enrichment_pipeline.store.dead_letters.replays import resolve
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.books import books, counted_books
from enrichment_pipeline_tests.conftest import HOUR, make_event, raw_events
from enrichment_pipeline_tests.poison import IS_BAD, KILLS, RAISES, kills_with_some, poisoned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAST = 1e9
ALL = LetterFilter()


def rows(store: Store, statement: str, **parameters: object) -> list[Any]:
    with store.transaction() as connection:
        return list(connection.execute(text(statement), parameters).all())


def execute(store: Store, statement: str) -> None:
    with store.transaction() as connection:
        connection.execute(text(statement))


def fail_until_dead(store: Store, rules: Rules) -> None:
    for _ in range(4):
        enrich_due(store, rules)
        rows(store, "UPDATE raw_batch SET due_at = now() WHERE state = 'pending' RETURNING id")


def mark(store: Store, chosen: LetterFilter = ALL) -> int:
    with store.transaction() as connection:
        return mark_for_replay(connection, chosen).letters


def replayed(store: Store, rules: Rules, chosen: LetterFilter = ALL) -> ReplayReport:
    mark(store, chosen)
    return replay_marked(store, rules, "test", FAST)


def balance(store: Store) -> tuple[int, int, int, int]:
    """Accepted, enriched, dead, pending; of books that balance."""
    with store.transaction() as connection:
        kept = [window for window in books(connection) if window.accepted]
        counted = counted_books(connection, [window.window_start for window in kept], HOUR)
    assert kept == counted
    assert all(window.balances for window in kept)
    return (
        sum(window.accepted for window in kept),
        sum(window.enriched for window in kept),
        sum(window.dead for window in kept),
        sum(window.pending for window in kept),
    )


def refused_at_ingestion(payload: bytes, default_name: str | None = None) -> RejectedEvent:
    error = EventRejectedError(RejectionReason.BEFORE_FIRST_PARTITION, "too early")
    return reject(payload, "default", Arrival(NOON, default_name=default_name), error)


def test_an_event_that_raised_is_enriched_once_the_code_is_mended(
    store: Store, rules: Rules
) -> None:
    load_events(store, [*raw_events(4, NOON), *raw_events(1, NOON, event="bad")], [], "test")
    enrich_due(store, poisoned(rules, bad=RAISES))
    assert balance(store) == (5, 4, 1, 0)
    report = replayed(store, rules)
    assert (report.resolved, report.failed, report.events) == (1, 0, 1)
    assert balance(store) == (5, 5, 0, 0)
    assert rows(store, "SELECT state, closing_note, replays FROM dead_letter") == [
        ("resolved", "enriched by a replay", 0)
    ]
    assert replayed(store, rules).resolved == 0


def test_a_dead_batch_is_enriched_once_the_code_is_mended(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(5, NOON, event="bad"), [], "test")
    fail_until_dead(store, poisoned(rules, bad=RAISES))
    assert balance(store) == (5, 0, 5, 0)
    report = replayed(store, rules)
    assert (report.resolved, report.events) == (1, 5)
    assert balance(store) == (5, 5, 0, 0)


def test_an_event_without_uuid_and_name_is_let_in_as_it_would_have_been(
    store: Store, rules: Rules
) -> None:
    load_events(store, [], [refused_at_ingestion(b'{"distinct_id": "me"}', "$identify")], "api")
    assert replayed(store, rules).resolved == 1
    enrich_due(store, rules)
    assert balance(store) == (1, 1, 0, 0)
    assert rows(store, "SELECT event, distinct_id FROM enriched_event") == [("$identify", "me")]


def test_an_event_that_was_refused_for_its_age_comes_in(store: Store, rules: Rules) -> None:
    old = datetime(2025, 12, 1, 8, tzinfo=UTC)
    load_events(store, [], [refused_at_ingestion(make_event(at=old))], "api")
    assert replayed(store, rules).resolved == 1
    enrich_due(store, rules)
    assert balance(store) == (1, 1, 0, 0)
    assert rows(store, "SELECT occurred_at FROM enriched_event") == [(old,)]


@pytest.mark.parametrize("source", ["api", "import"])
def test_an_event_that_was_refused_for_a_time_nobody_can_read_comes_in_if_it_was_live(
    store: Store, rules: Rules, source: str
) -> None:
    error = EventRejectedError(RejectionReason.INVALID_TIMESTAMP, "no time in a known form")
    payload = make_event(timestamp="28/11/2026 12:30")
    load_events(store, [], [reject(payload, "default", Arrival(NOON), error)], source)
    [(arrived,)] = rows(store, "SELECT first_failed_at FROM dead_letter")
    assert replayed(store, rules).resolved == (1 if source == "api" else 0)
    enrich_due(store, rules)
    found = rows(store, "SELECT occurred_at, properties FROM enriched_event")
    assert found == ([(arrived, {TIME_IS_ARRIVAL: UNREADABLE})] if source == "api" else [])
    balance(store)


def test_a_letter_whose_uuid_another_event_has_comes_in_beside_it(
    store: Store, rules: Rules
) -> None:
    shared = "01a2074a-16f5-75be-ae39-7a682b08770e"
    payloads = [make_event(name, NOON, uuid=shared) for name in ("a", "b", "b")]
    load_events(store, [parse_event(payloads[0], "default", Arrival(NOON))], [], "test")
    load_events(store, [], [refused_at_ingestion(payload) for payload in payloads], "api")
    assert replayed(store, rules).resolved == 2
    enrich_due(store, rules)
    assert rows(store, "SELECT event FROM enriched_event ORDER BY 1") == [("a",), ("b",)]
    assert balance(store) == (2, 2, 0, 0)


def test_a_replay_that_a_conflict_rolled_back_is_counted_once(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_events(store, raw_events(3, NOON, event="bad"), [], "test")
    load_events(store, raw_events(1, NOON), [], "test")
    enrich_due(store, poisoned(rules, bad=IS_BAD))
    conflicts = [DeadlockDetected()]

    def conflicting(*of: Any) -> None:
        resolve(*of)
        if conflicts:
            raise conflicts.pop()

    # The last thing before the commit.
    monkeypatch.setattr(replay, "resolve", conflicting)
    report = replayed(store, rules)
    assert (report.resolved, report.events, conflicts) == (3, 3, [])


def test_an_event_that_came_in_meanwhile_is_not_doubled(store: Store, rules: Rules) -> None:
    payload = make_event(at=NOON)
    load_events(store, [], [refused_at_ingestion(payload)], "api")
    load_events(store, raw_events(1, NOON), [], "test")
    mark(store)
    replay_marked(store, rules, "test", FAST)
    # A replay that was killed between its two commits.
    rows(store, "UPDATE dead_letter SET state = 'replaying' RETURNING id")
    rows(store, "UPDATE raw_batch SET event_count = 1, dead_count = 1 WHERE id = 1 RETURNING id")
    replay_marked(store, rules, "test", FAST)
    enrich_due(store, rules)
    assert balance(store) == (2, 2, 0, 0)


def test_after_two_failed_replays_a_letter_is_exhausted_until_it_is_named(
    store: Store, rules: Rules
) -> None:
    load_events(store, raw_events(1, NOON, event="bad"), [], "test")
    bad = poisoned(rules, bad=IS_BAD)
    enrich_due(store, bad)
    for replays, state in ((1, "open"), (2, "parked")):
        report = replayed(store, bad)
        assert (report.failed, report.exhausted) == (1, int(state == "parked"))
        assert rows(store, "SELECT replays, state FROM dead_letter") == [(replays, state)]
    assert mark(store) == 0
    assert replayed(store, rules).resolved == 0
    assert replayed(store, rules, LetterFilter(ids=(1,))).resolved == 1
    assert balance(store) == (1, 1, 0, 0)


def test_a_dead_batch_that_fails_again_keeps_its_history(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(3, NOON, event="bad"), [], "test")
    bad = poisoned(rules, bad=RAISES)
    fail_until_dead(store, bad)
    first = rows(store, "SELECT first_failed_at FROM dead_letter")
    assert [replayed(store, bad).exhausted for _ in range(2)] == [0, 1]
    found = rows(store, "SELECT state, replays, event_count FROM dead_letter")
    assert found == [("parked", 2, 3)]
    assert rows(store, "SELECT first_failed_at FROM dead_letter") == first
    assert balance(store) == (3, 0, 3, 0)


@pytest.mark.slow
def test_a_letter_that_kills_costs_its_neighbours_nothing(store: Store, rules: Rules) -> None:
    load_events(store, [*raw_events(4, NOON), *raw_events(1, NOON, event="a")], [], "test")
    load_events(store, [*raw_events(4, NOON), *raw_events(1, NOON, event="b")], [], "test")
    enrich_due(store, poisoned(rules, a=IS_BAD, b=IS_BAD))
    report = replayed(store, poisoned(rules, a=KILLS))
    assert (report.resolved, report.failed) == (1, 1)
    assert rows(store, "SELECT event, reason_code FROM dead_letter WHERE state = 'open'") == [
        ("a", "enrichment_crashed")
    ]


@pytest.mark.slow
def test_a_payload_that_kills_whoever_parses_it_is_one_failed_replay(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    payloads = [make_event(event=name, at=NOON) for name in ("a", "kills", "b")]
    load_events(store, [], [refused_at_ingestion(payload) for payload in payloads], "api")
    monkeypatch.setattr(replay, "parse_again", kills_with_some)
    report = replayed(store, rules)
    assert (report.resolved, report.failed) == (2, 1)
    assert rows(store, "SELECT reason_code FROM dead_letter WHERE state = 'open'") == [
        ("enrichment_crashed",)
    ]


def test_an_event_that_postgresql_refuses_enriched_is_one_dead_event(
    store: Store, rules: Rules
) -> None:
    load_events(
        store, [*raw_events(30, NOON), *raw_events(2, NOON, distinct_id="nobody")], [], "test"
    )
    execute(store, "ALTER TABLE enriched_event ADD CONSTRAINT no CHECK (distinct_id <> 'nobody')")
    report = enrich_due(store, rules)
    assert (report.events, report.dead_events, report.failures) == (30, 2, [])
    assert balance(store) == (32, 30, 2, 0)
    assert replayed(store, rules).failed == 2
    execute(store, "ALTER TABLE enriched_event DROP CONSTRAINT no")
    assert replayed(store, rules).resolved == 2
    assert balance(store) == (32, 32, 0, 0)


def test_a_replay_is_throttled_as_long_as_there_is_more(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(replay, "sleep", slept.append)
    load_events(store, raw_events(13, NOON, event="bad"), [], "test")
    enrich_due(store, poisoned(rules, bad=IS_BAD))
    seen: list[int] = []
    for ids, rate in (((1, 2, 3), 0.01), (tuple(range(4, 14)), 5)):
        mark(store, LetterFilter(ids=ids))
        replay_marked(store, rules, "test", rate, lambda report: seen.append(report.events))
    # The lower the rate, the smaller the groups.
    assert seen == [1, 2, 3, 5, 10]
    assert [90 < seconds <= 100 for seconds in slept[:2]] == [True, True]
    assert len(slept) == 3


def test_letters_are_chosen_by_what_they_say(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(2, NOON, event="a"), [], "test")
    load_events(store, raw_events(1, NOON + HOUR, event="b"), [], "test")
    enrich_due(store, poisoned(rules, a=IS_BAD, b=IS_BAD))
    load_events(store, [], [refused_at_ingestion(b"{}")], "api")
    for chosen, ids in (
        (LetterFilter(), {1, 2, 3, 4}),
        (LetterFilter(reason="before_first_partition"), {4}),
        (LetterFilter(event="a"), {1, 2}),
        (LetterFilter(event="a", ids=(2, 3)), {2}),
        (LetterFilter(since=NOON + HOUR), {3}),
        (LetterFilter(until=NOON + HOUR), {1, 2, 4}),
        (LetterFilter(rules_version=f"poisoned {rules.version}"), {1, 2, 3}),
        (LetterFilter(kind="batch"), set()),
        (LetterFilter(states=("exhausted",)), set()),
        (LetterFilter(project="default"), {1, 2, 3, 4}),
    ):
        with store.transaction() as connection:
            assert {row["id"] for row in find_letters(connection, chosen, 10)} == ids
            assert count_letters(connection, chosen).letters == len(ids)
            assert [row["id"] for row in read_letters(connection, chosen)] == sorted(ids)


def test_a_discarded_letter_keeps_its_row_and_its_place_in_the_books(
    store: Store, rules: Rules
) -> None:
    load_events(store, raw_events(2, NOON, event="bad"), [], "test")
    enrich_due(store, poisoned(rules, bad=IS_BAD))
    with store.transaction() as connection:
        assert discard(connection, LetterFilter(ids=(1,)), "a test of ours") == (1, 1)
        assert discard(connection, LetterFilter(ids=(1,)), "again") == (0, 0)
    assert rows(store, "SELECT state, closing_note FROM dead_letter WHERE id = 1") == [
        ("discarded", "a test of ours")
    ]
    assert balance(store) == (2, 0, 2, 0)
    assert replayed(store, rules).resolved == 1


def test_only_transient_reasons_come_back_by_themselves_and_not_at_once(
    store: Store, rules: Rules
) -> None:
    load_events(store, raw_events(2, NOON, event="bad"), [], "test")
    fail_until_dead(store, poisoned(rules, bad=RAISES))
    load_events(store, raw_events(1, NOON, event="odd"), [], "test")
    enrich_due(store, poisoned(rules, odd=IS_BAD))
    with store.transaction() as connection:
        assert mark_transient(connection, ("enrichment_failed",), "10 minutes") == (0, 0)
        connection.execute(
            text("UPDATE dead_letter SET replays = 1, last_failed_at = now() - interval '15 min'")
        )
        assert mark_transient(connection, ("enrichment_failed",), "10 minutes") == (0, 0)
        assert mark_transient(connection, ("enrichment_failed",), "7 minutes") == (1, 2)
