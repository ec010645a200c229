"""Work that must not grow with the store: each statement finds its rows by an index or reads the
partitions of its days alone. Measured at 5 million events in docs/explanation/scaling.md."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.people import People
from enrichment_pipeline.events.raw_event import RejectedEvent, RejectionReason
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.ingest.load import load_events
from enrichment_pipeline.store.lifecycle.forget import forget_events
from enrichment_pipeline.store.lifecycle.retention import FirstKept, drop_days_before
from enrichment_pipeline.store.queue import enriched
from enrichment_pipeline.store.queue.changes import changed_days, changed_windows
from enrichment_pipeline.store.reading.exporting import days_to_export
from enrichment_pipeline.store.reading.reported_errors import read_errors
from enrichment_pipeline_tests.conftest import HOUR, raw_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@contextmanager
def explained(engine: Engine, *, as_it_is: bool = False) -> Iterator[list[str]]:
    """The plans of all statements in the block, as PostgreSQL makes them where an index can serve:
    in a small table it would rather read all. Or, `as_it_is`, those that it follows."""
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "DELETE", "UPDATE", "WITH", "INSERT")):
            with connection.connection.cursor() as other:
                if not as_it_is:
                    other.execute("SET LOCAL enable_seqscan = off")
                other.execute(f"EXPLAIN {statement}", parameters)
                plans.append("\n".join(row[0] for row in other.fetchall()))
                if not as_it_is:
                    other.execute("SET LOCAL enable_seqscan = on")

    event.listen(engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        event.remove(engine, "before_cursor_execute", explain)


@pytest.fixture
def filled(store: Store, rules: Rules) -> Store:
    """A store with five days of events."""
    for day in range(5):
        refused = RejectedEvent(
            "default", RejectionReason.INVALID_JSON, "no JSON", b"x", NOON + day * DAY
        )
        # Retention keeps a day that holds open letters.
        load_events(store, raw_events(20, NOON + day * DAY), [refused] * 20 * (day > 1), "test")
    enrich_due(store, rules)
    with store.transaction() as connection:
        connection.execute(text("ANALYZE"))
    return store


def scanned(plans: list[str]) -> list[str]:
    """The tables with a row for each event or letter that are read whole; of their partitions not
    that of the first day, which is what is dropped."""
    lines = [line.strip() for plan in plans for line in plan.splitlines() if "Seq Scan on" in line]
    grow = re.compile(r"Seq Scan on (raw_event|enriched_event|event_key|dead_letter)(?!_20260301)")
    return [line for line in lines if grow.search(line)]


def changes(store: Store) -> None:
    with store.transaction() as connection:
        changed_windows(connection, HOUR, timedelta(0), 500)
        changed_days(connection)


def errors(store: Store) -> None:
    with store.transaction() as connection:
        days = {"start": NOON, "end": NOON + 5 * DAY}
        assert read_errors(connection, ["$pageview"], **days, project=None, most=1_000)


@pytest.mark.parametrize(
    "work",
    [
        lambda store: drop_days_before(store, FirstKept(date(2026, 3, 2), date(2026, 3, 2))),
        lambda store: forget_events(store, People(("user-1",))),
        changes,
        errors,
    ],
    ids=["retention", "forget", "what has changed", "errors"],
)
def test_nothing_that_grows_is_read_whole(filled: Store, work: Callable[[Store], object]) -> None:
    with explained(filled.engine) as plans:
        work(filled)
    assert plans
    assert scanned(plans) == []


@pytest.mark.parametrize("many", [10, 1_000_000])
def test_on_a_day_without_statistics_the_events_of_a_claim_are_found_by_their_batches(
    store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(enriched, "_MANY_EVENTS", many)
    load_events(store, raw_events(1_000, NOON), [], "test")
    enrich_due(store, rules)
    for _ in range(100):
        load_events(store, raw_events(3, NOON), [], "test")
    with explained(store.engine, as_it_is=True) as plans:
        assert enrich_due(store, rules).events == 300
    writes = [plan for plan in plans if "Insert on enriched_event" in plan]
    assert writes
    for plan in writes:
        assert "Seq Scan on raw_event" not in plan
        assert re.search(r"Index Cond: \(batch_id = ANY", plan)


def test_of_many_outputs_those_of_the_events_are_searched_for(
    filled: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enriched, "_MANY_EVENTS", 10)
    monkeypatch.setattr(enriched, "_OUTPUT_BYTES", 0)
    load_events(filled, raw_events(20, NOON, event="new"), [], "test")
    with explained(filled.engine) as plans:
        assert enrich_due(filled, rules).events == 20
    lines = [line.strip() for plan in plans for line in plan.splitlines()]
    reads = [at for at, line in enumerate(lines) if "Scan" in line and "enrichment_output" in line]
    # Written twice, because of the new input that is searched for in between.
    assert len(reads) >= 3
    assert all("input_key = " in lines[at + 1] for at in reads)


def test_an_export_of_a_day_counts_the_partition_of_that_day_alone(filled: Store) -> None:
    with explained(filled.engine) as plans, filled.transaction() as connection:
        found = days_to_export(connection, "events", date(2026, 3, 3), date(2026, 3, 3))
    assert found == {date(2026, 3, 3): 20}
    partitions = {
        line.split(" on ")[1].split()[0] for line in plans[-1].splitlines() if " on " in line
    }
    assert len(partitions) == 1


def test_retention_finds_the_keys_of_its_batches_by_their_index(filled: Store) -> None:
    with explained(filled.engine) as plans:
        drop_days_before(filled, FirstKept(date(2026, 3, 2), date(2026, 3, 2)))
    of_keys = [plan for plan in plans if "Delete on event_key" in plan]
    assert of_keys
    assert all("event_key_batch" in plan for plan in of_keys)
