"""What a worker does with a message: enriches what is due, for a turn, and notifies again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import path
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreUnavailableError
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.windows.books import WindowBooks, books
from enrichment_pipeline.workers import handling
from enrichment_pipeline.workers.handling import handle
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.poison import KILLS, poisoned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Notified:
    """The notifications that a worker has made."""

    def __init__(self) -> None:
        self.batches: list[Sequence[int]] = []

    def __call__(self, batches: Sequence[int]) -> None:
        self.batches.append(batches)


@pytest.fixture
def notified() -> Notified:
    return Notified()


def total(store: Store) -> WindowBooks:
    with store.transaction() as connection:
        windows = books(connection)
    assert all(window.balances for window in windows)
    return WindowBooks(
        NOON, *(sum(column) for column in zip(*(w[1:] for w in windows), strict=True))
    )


def test_whoever_handles_a_notification_enriches_all_that_is_due_not_only_what_it_names(
    store: Store, rules: Rules, notified: Notified
) -> None:
    notified_of = load_events(store, raw_events(3, NOON), [], "test").batches
    load_events(store, raw_events(4, NOON + HOUR), [], "test")
    handle(store, rules, notified_of, notified)
    assert total(store).enriched == 7
    assert notified.batches == []


def test_a_message_that_comes_twice_late_or_for_nothing_changes_nothing(
    store: Store, rules: Rules, notified: Notified
) -> None:
    batches = load_events(store, raw_events(3, NOON), [], "test").batches
    for notified_of in (batches, batches, [2**40], []):
        handle(store, rules, notified_of, notified)
    assert total(store).enriched == 3
    assert notified.batches == []


def test_a_worker_whose_turn_is_over_notifies_whoever_is_free(
    store: Store, rules: Rules, notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(handling, "enrich_due", partial(path.enrich_due, claim_events=1))
    batches = [load_events(store, raw_events(1, NOON), [], "test").batches[0] for _ in range(3)]
    handle(store, rules, batches, notified)
    assert total(store).enriched == 1
    assert notified.batches == [batches]


def test_an_outage_of_the_store_spends_nothing_and_puts_a_new_message_in_the_place_of_the_old(
    store: Store, rules: Rules, notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = load_events(store, raw_events(3, NOON), [], "test").batches

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailableError("away")

    monkeypatch.setattr(handling, "enrich_due", away)
    monkeypatch.setattr(handling, "OUTAGE_SECONDS", 0.0)
    handle(store, rules, batches, notified)
    assert notified.batches == [batches]
    with store.transaction() as connection:
        [spent] = connection.execute(text("SELECT attempts FROM raw_batch")).scalars()
    assert spent == 0


def test_a_bug_of_ours_is_raised(
    store: Store, rules: Rules, notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(handling, "enrich_due", fails)
    with pytest.raises(ZeroDivisionError):
        handle(store, rules, [1], notified)


@pytest.mark.slow
def test_an_event_that_kills_costs_no_worker(
    store: Store, rules: Rules, notified: Notified
) -> None:
    events = [*raw_events(3, NOON), *raw_events(1, NOON, event="bad")]
    batches = load_events(store, events, [], "test").batches
    handle(store, poisoned(rules, bad=KILLS), batches, notified)
    found = total(store)
    assert (found.enriched, found.dead, found.pending) == (3, 1, 0)
