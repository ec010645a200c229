"""The books: whatever happens to events, each is accounted for, by the batches and by count."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules, load_rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.enrichment.replay import replay_marked
from enrichment_pipeline.events.raw_event import RawEvent, RejectedEvent, RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.dead_letters.letters import LetterFilter, mark_for_replay
from enrichment_pipeline.store.dead_letters.summary import broken_now, dead_windows
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.queue.claims import reopen_dead
from enrichment_pipeline.store.windows.books import WindowBooks, books, counted_books
from enrichment_pipeline.store.windows.contents import classified, preview
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.poison import RAISES, poisoned

LATE = datetime(2026, 3, 1, 22, tzinfo=UTC)
WINDOWS = [LATE + number * HOUR for number in range(4)]


@pytest.fixture
def rules(rules: Rules) -> Rules:
    """Enrichment raises for events of the name `poison`."""
    return poisoned(rules, poison=RAISES)


@pytest.fixture
def mended_rules() -> Rules:
    """Enrichment raises for nothing."""
    return load_rules()


def rejected(payload: str, at: datetime) -> RejectedEvent:
    return RejectedEvent("default", RejectionReason.INVALID_JSON, "no JSON", payload.encode(), at)


def fail_until_dead(store: Store, rules: Rules) -> None:
    for _ in range(4):
        enrich_due(store, rules)
        make_due(store)


def make_due(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE raw_batch SET due_at = now() WHERE state = 'pending'"))


def kept_and_counted(store: Store) -> tuple[list[WindowBooks], list[WindowBooks]]:
    with store.transaction() as connection:
        kept = books(connection)
        return kept, counted_books(connection, [window.window_start for window in kept], HOUR)


def test_each_way_that_an_event_can_go_has_its_column(store: Store, rules: Rules) -> None:
    load_events(store, raw_events(2, LATE, event="poison"), [], "test")
    fail_until_dead(store, rules)
    refused = raw_events(1, LATE)[0]._replace(title="a\0b")
    load_events(store, [*raw_events(3, LATE), refused], [rejected("x", LATE)], "test")
    enrich_due(store, rules)
    load_events(store, raw_events(5, LATE), [], "test")

    kept, counted = kept_and_counted(store)

    assert kept == counted == [WindowBooks(LATE, 12, enriched=3, dead=4, pending=5)]
    assert kept[0].balances


def test_a_dead_batch_that_is_reopened_keeps_the_events_that_were_dead_before_it(
    store: Store, rules: Rules
) -> None:
    events = raw_events(3, LATE, event="poison")
    load_events(store, events, [rejected("x", LATE), rejected("y", LATE)], "test")
    for _ in range(2):
        fail_until_dead(store, rules)
        kept, counted = kept_and_counted(store)
        assert kept == counted == [WindowBooks(LATE, 5, enriched=0, dead=5, pending=0)]

        with store.transaction() as connection:
            reopen_dead(connection, [LATE])

        kept, counted = kept_and_counted(store)
        assert kept == counted == [WindowBooks(LATE, 5, enriched=0, dead=2, pending=3)]


def test_books_that_do_not_balance_say_so() -> None:
    assert not WindowBooks(LATE, 3, enriched=1, dead=0, pending=1).balances


def test_an_event_that_is_lost_shows_in_the_count_and_not_in_what_the_batches_say(
    store: Store, rules: Rules
) -> None:
    load_events(store, raw_events(3, LATE), [], "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        connection.execute(text("DELETE FROM enriched_event WHERE occurred_at = :at"), {"at": LATE})
    kept, counted = kept_and_counted(store)
    assert kept == [WindowBooks(LATE, 3, 3, 0, 0)]
    assert counted == [WindowBooks(LATE, 3, 2, 0, 0)]
    assert not counted[0].balances


def test_windows_without_events_are_counted_and_have_no_books(store: Store) -> None:
    load_events(store, raw_events(1, LATE), [], "test")
    with store.transaction() as connection:
        assert books(connection, [LATE + HOUR]) == []
        assert books(connection, WINDOWS) == books(connection)
        assert counted_books(connection, [], HOUR) == []
        assert counted_books(connection, [LATE + HOUR, LATE], HOUR) == [
            WindowBooks(LATE, 1, 0, 0, 1),
            WindowBooks(LATE + HOUR, 0, 0, 0, 0),
        ]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
def test_the_books_balance_after_every_step_of_whatever_happens(
    store: Store, rules: Rules, mended_rules: Rules, seed: int
) -> None:
    chance = random.Random(seed)
    seen: list[RawEvent] = []

    def load() -> None:
        events = [
            event
            for _ in range(chance.randint(1, 3))
            for event in raw_events(
                chance.randint(1, 4),
                chance.choice(WINDOWS),
                event=chance.choice(["$pageview", "product clicked", "poison"]),
            )
        ]
        if chance.random() < 0.3:
            events[0] = events[0]._replace(title="refused\0")
        again = chance.sample(seen, min(len(seen), 3))
        broken = [rejected(str(chance.randint(0, 20)), chance.choice(WINDOWS)) for _ in range(2)]
        load_events(store, [*events, *again], broken, "test")
        seen.extend(events)

    def reopen() -> None:
        with store.transaction() as connection:
            reopen_dead(connection, chance.sample(WINDOWS, 3))

    def replay() -> None:
        with store.transaction() as connection:
            mark_for_replay(connection, LetterFilter(event=chance.choice([None, "poison"])))
        mended = mended_rules if chance.random() < 0.5 else rules
        replay_marked(store, mended, "test", 1e9)

    steps = [
        load,
        lambda: enrich_due(store, rules, chance.sample(WINDOWS, 2)),
        lambda: fail_until_dead(store, rules),
        lambda: make_due(store),
        reopen,
        replay,
    ]
    load()
    for _ in range(15):
        chance.choices(steps, weights=[4, 2, 2, 1, 2, 2])[0]()
        kept, counted = kept_and_counted(store)
        assert kept == counted
        assert all(window.balances for window in kept)


@pytest.mark.slow
def test_what_is_broken_now_is_counted_in_full_and_shown_up_to_the_limit(
    store: Store, rules: Rules
) -> None:
    load_events(store, raw_events(3, LATE, event="poison"), [rejected("x", LATE)], "test")
    load_events(store, raw_events(2, LATE + HOUR, event="poison"), [], "test")
    fail_until_dead(store, rules)
    with store.transaction() as connection:
        first, second = connection.execute(
            text("SELECT id FROM dead_letter WHERE kind = 'batch' ORDER BY window_start")
        ).scalars()
        broken = broken_now(connection, most=1)
        assert (broken.letters, broken.events, broken.failed_windows) == (3, 6, 2)
        assert broken.by_reason[["reason_code", "letters", "events", "letter"]].values.tolist() == [
            ["enrichment_failed", 2, 5, second]
        ]
        assert broken.windows["window_start"].tolist() == [LATE + HOUR]
        assert dead_windows(connection, [LATE, LATE + 2 * HOUR]) == {LATE: first}
        reopen_dead(connection, WINDOWS)
        assert broken_now(connection)[:3] == (1, 1, 0)
        assert dead_windows(connection, WINDOWS) == {}


def test_enriched_events_are_counted_by_minute_and_kind_and_shown_from_the_newest(
    store: Store, rules: Rules
) -> None:
    minute = timedelta(minutes=1)
    load_events(
        store,
        [*raw_events(2, LATE), *raw_events(1, LATE + minute), *raw_events(1, LATE + HOUR)],
        [],
        "test",
    )
    enrich_due(store, rules)
    with store.transaction() as connection:
        counted = classified(connection, [LATE, LATE - HOUR], HOUR)
        assert counted == {
            LATE: [(LATE, "pageview", "view", 2), (LATE + minute, "pageview", "view", 1)]
        }
        shown = preview(connection, [LATE, LATE - HOUR, LATE + HOUR], HOUR, 2)
        assert shown == {
            LATE: [
                (LATE + minute, "Viewed /pricing"),
                (LATE + timedelta(seconds=1), "Viewed /pricing"),
            ],
            LATE + HOUR: [(LATE + HOUR, "Viewed /pricing")],
        }
        assert not classified(connection, [], HOUR)
        assert not preview(connection, [], HOUR, 2)
