"""The prefetch: what the next claim needs is derived while this one is written."""

from datetime import UTC, datetime
from threading import current_thread
from typing import Any

import pytest
from sqlalchemy import Connection, text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import prefetch, writing
from enrichment_pipeline.enrichment.deriving import Derived, derive_missing
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreUnavailableError
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.queue import enriched
from enrichment_pipeline_tests.conftest import raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def new_inputs(store: Store) -> None:
    """Four batches, each a claim of its own, with inputs that no other has."""
    for number in range(4):
        load_events(store, raw_events(2, NOON, event=f"event {number}"), [], "test")


def count_derived(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[int]:
    """How many inputs this module has derived, each time that it did."""
    counts: list[int] = []

    def counted(store: Store, keys: Any, rules: Rules) -> Derived:
        counts.append(len(keys))
        return derive_missing(store, keys, rules)

    monkeypatch.setattr(module, "derive_missing", counted)
    return counts


def enriched_names(store: Store) -> list[str]:
    with store.transaction() as connection:
        statement = text("SELECT DISTINCT event FROM enriched_event ORDER BY 1")
        return list(connection.execute(statement).scalars())


@pytest.mark.usefixtures("new_inputs")
def test_only_the_first_claim_has_to_derive_by_itself(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_claims = count_derived(monkeypatch, writing)
    by_prefetch = count_derived(monkeypatch, prefetch)
    report = enrich_due(store, rules, claim_events=1)
    assert (report.events, report.batches) == (8, 4)
    assert (by_claims, by_prefetch) == ([1], [1, 1, 1])
    assert enriched_names(store) == [f"event {number}" for number in range(4)]


@pytest.mark.usefixtures("new_inputs")
def test_where_nothing_is_missing_there_is_no_prefetch(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrich_due(store, rules)
    with store.transaction() as connection:
        connection.execute(text("TRUNCATE enriched_event"))
        connection.execute(text("UPDATE raw_batch SET state = 'pending', enriched_count = 0"))
    monkeypatch.setattr(prefetch.Prefetch, "begin", lambda _: pytest.fail("nothing was missing"))
    assert enrich_due(store, rules, claim_events=1).events == 8


@pytest.mark.usefixtures("new_inputs")
def test_the_prefetch_reads_the_events_as_a_claim_does(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: dict[str, set[tuple[str, str]]] = {}
    original = writing.missing_inputs

    def noted(connection: Connection, *rest: Any) -> Any:
        names = ("enable_nestloop", "enable_seqscan")
        nestloop, seqscan = (connection.scalar(text(f"SHOW {name}")) for name in names)
        plans.setdefault(current_thread().name.rstrip("_0"), set()).add((nestloop, seqscan))
        return original(connection, *rest)

    monkeypatch.setattr(enriched, "_MANY_EVENTS", 1)
    monkeypatch.setattr(writing, "missing_inputs", noted)
    monkeypatch.setattr(prefetch, "missing_inputs", noted)
    enrich_due(store, rules, claim_events=1)
    assert plans == {"MainThread": {("off", "off")}, "prefetch": {("off", "off")}}


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("user-1"), StoreUnavailableError("user-1"), MemoryError("user-1")]
)
@pytest.mark.usefixtures("new_inputs")
def test_what_the_prefetch_cannot_derive_the_claim_derives(
    store: Store,
    rules: Rules,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def fail(*_: object) -> Derived:
        raise error

    monkeypatch.setattr(prefetch, "derive_missing", fail)
    by_claims = count_derived(monkeypatch, writing)
    report = enrich_due(store, rules, claim_events=1)
    assert (report.events, report.failures, by_claims) == (8, [], [1, 1, 1, 1])
    assert "nothing was derived for the next claim: " + type(error).__name__ in caplog.text
    assert "user-1" not in caplog.text


@pytest.mark.usefixtures("new_inputs")
def test_a_call_with_a_time_limit_ends_after_its_prefetch(store: Store, rules: Rules) -> None:
    assert enrich_due(store, rules, claim_events=1, most_seconds=0).events == 2
    with store.transaction() as connection:
        outputs = connection.execute(text("SELECT count(*) FROM enrichment_output")).scalar_one()
    assert outputs == 2
