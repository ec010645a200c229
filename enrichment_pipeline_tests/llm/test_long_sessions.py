"""Sessions of a server: timelines of hundreds of thousands of events in a bounded memory."""

import json
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import pytest
from sqlalchemy import text

from enrichment_pipeline.llm.rendering import render
from enrichment_pipeline.llm.session_days import build_day
from enrichment_pipeline.llm.sessions import cut_at_silence, newest_timeline_of, timeline_of
from enrichment_pipeline.llm.timelines import build_timeline
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.partitions import ensure_partitions
from enrichment_pipeline.store.sessions import reading as sessions
from enrichment_pipeline.store.sessions.reading import MOST_EVENTS, SessionEvent, SessionEvents

DAY = date(2026, 3, 2)
EVENTS = 300_000
MEGABYTE = 1_000_000

# A tenth of what all of the events would take; what is read of a session takes most of it.
MOST_MEMORY = 40 * MEGABYTE


def fill(store: Store, session: str | None) -> None:
    """Events of a server, four in a second, from midnight on."""
    with store.transaction() as connection:
        ensure_partitions(connection, [DAY])
        connection.execute(
            text(
                """
                INSERT INTO enriched_event (
                    occurred_at, uuid, project, batch_id, event, event_type, action_type,
                    distinct_id, session_id, description, rules_version, enriched_at
                )
                SELECT timestamptz '2026-03-02 00:00:00+00' + number * interval '250 ms',
                    gen_random_uuid(), 'default', 1, 'order_placed_' || number % 7, 'custom',
                    'submit', 'server', :session, 'order_placed (sku=' || number || ')', 'v', now()
                FROM generate_series(0, :events - 1) AS number
                """
            ),
            {"session": session, "events": EVENTS},
        )
        connection.execute(text("ANALYZE enriched_event"))


@contextmanager
def bounded() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("session", ["of-a-server", None])
@pytest.mark.slow
def test_a_session_of_a_server_is_cut_and_says_so_with_the_true_count(
    store: Store, session: str | None
) -> None:
    fill(store, session)
    with bounded():
        report = build_day(store, DAY, is_whole=True)
    assert (report.sessions, report.events) == (1, EVENTS)
    with store.transaction() as connection:
        [row] = connection.execute(text("SELECT * FROM session_timeline")).all()
    assert (row.events, row.distinct_id) == (EVENTS, "server")
    assert row.ended_at == datetime(2026, 3, 2, 20, 49, 59, 750_000, tzinfo=UTC)
    assert row.outline.startswith("(of the first 20,000 events) ")
    assert "300,000 events, of which the first 20,000 are read" in row.timeline

    with store.transaction() as connection, bounded():
        by_id = timeline_of(connection, row.session_id)
        newest = newest_timeline_of(connection, "server")
    for timeline in (by_id, newest):
        assert (timeline.events, timeline.not_read) == (EVENTS, EVENTS - MOST_EVENTS)
        assert (timeline.started_at, timeline.seconds) == (
            row.started_at.timestamp(),
            (EVENTS - 1) / 4,
        )
    assert json.loads(render(by_id, "json", 2_000))["not_read"] == EVENTS - MOST_EVENTS


def moments(*seconds: float) -> list[SessionEvent]:
    return [SessionEvent(at, f"step {at}", f"step {at}", None, "me", None) for at in seconds]


def test_what_is_cut_is_the_end_and_its_silence_is_not_shown_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "MOST_EVENTS", 3)
    timeline = build_timeline("default", "one", "me", SessionEvents(moments(0, 1, 2, 900, 901)))
    assert [entry.text for entry in timeline.entries] == ["step 0", "step 1", "step 2"]
    assert (timeline.events, timeline.not_read, timeline.seconds) == (5, 2, 901)
    whole = build_timeline("default", "one", "me", SessionEvents(moments(0, 1, 2)))
    assert (whole.events, whole.not_read) == (3, 0)


def test_a_session_over_midnight_that_is_cut_keeps_its_count_and_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "MOST_EVENTS", 3)
    midnight = 86_400
    [found] = cut_at_silence(iter(moments(*range(midnight - 2, midnight + 4))))
    assert [event.occurred_at for event in found] == [midnight - 2, midnight - 1, midnight]
    assert (found.total, found.last) == (6, moments(midnight + 3)[0])
    [found] = cut_at_silence(iter(moments(*range(midnight - 4, midnight + 2))))
    assert [event.occurred_at for event in found] == [midnight - 4, midnight - 3, midnight - 2]
    assert (found.total, found.last) == (6, moments(midnight + 1)[0])
