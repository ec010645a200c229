"""The peer of the scaled mode does the work that ours does."""

import json

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks import celery_per_event
from benchmarks.orm_queue import Base, EnrichedEvent, QueuedEvent
from enrichment_pipeline import classify_event
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline_tests.conftest import make_event

pytestmark = pytest.mark.slow


def test_a_task_enriches_its_event_and_no_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("BENCH_DATABASE_URL", url)
    Base.metadata.create_all(store.engine)
    events = [make_event(event="$pageview"), make_event(event="$pageleave")]
    first, second = celery_per_event._insert(store, events)
    celery_per_event.enrich(first)
    celery_per_event._engine().dispose()
    with Session(store.engine) as session:
        [enriched] = session.scalars(select(EnrichedEvent))
        states = [session.get_one(QueuedEvent, number).status for number in (first, second)]
    derived = classify_event("$pageview", json.loads(events[0])["properties"])
    assert (enriched.event_type, enriched.action_type) == (derived.event_type, derived.action_type)
    assert str(enriched.uuid) == json.loads(events[0])["uuid"]
    assert enriched.path == "/pricing"
    assert states == ["done", "pending"]
