"""From submissions to durable events, when something goes wrong that is nobody's fault but one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from enrichment_pipeline.events.raw_event import Arrival, RawEvent, Reason
from enrichment_pipeline.ingest.api import accept as module
from enrichment_pipeline.ingest.api.accept import Kind, Submission, accept
from enrichment_pipeline.ingest.api.committers import CommitError, Committers
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.errors import StoreUnavailableError
from enrichment_pipeline_tests.conftest import make_event

LIVE = Kind("api")
NOW = datetime.now(UTC)


def submission(*names: str) -> Submission:
    payloads = [make_event(name, at=NOW) for name in names]
    return Submission(LIVE, "shop", payloads, Arrival(NOW))


def rows(store: Store, statement: str) -> list[tuple[Any, ...]]:
    with store.transaction() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that a mistake in our own code cannot stand."""
    parse: Callable[..., RawEvent] = module.parse_event

    def parse_or_fail(payload: bytes, *arguments: Any) -> RawEvent:
        if b'"poison"' in payload:
            raise ZeroDivisionError("division by zero")
        return parse(payload, *arguments)

    monkeypatch.setattr(module, "parse_event", parse_or_fail)


@pytest.mark.usefixtures("poison")
def test_an_event_that_our_code_cannot_stand_costs_itself_alone(store: Store) -> None:
    group = [submission("a", "b"), submission("c", "poison", "d"), submission("e")]
    verdicts, result = accept(store, group)
    assert [[verdict and verdict.reason for verdict in one] for one in verdicts] == [
        [None, None],
        [None, Reason.REFUSED_BY_STORE, None],
        [None],
    ]
    assert (result.accepted, result.quarantined.total()) == (5, 1)
    assert rows(store, "SELECT event FROM raw_event ORDER BY 1") == [(n,) for n in "abcde"]
    assert rows(store, "SELECT event, message FROM dead_letter") == [
        ("poison", "division by zero"),
    ]


def test_a_failure_of_the_store_is_raised_and_quarantines_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> None:
        raise StoreUnavailableError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(module, "load_events", load)
        with pytest.raises(StoreUnavailableError):
            accept(store, [submission("a")])
    assert rows(store, "SELECT 1 FROM dead_letter UNION SELECT 1 FROM raw_event") == []


def test_the_same_events_from_several_at_once_are_there_once(store: Store) -> None:
    groups = [submission(*"abcdefgh") for _ in range(6)]
    # Each sends all of them, in an order of its own.
    mixed = [
        [
            Submission(LIVE, "shop", groups[(n + k) % 6].payloads, groups[0].arrival)
            for n in range(6)
        ]
        for k in range(6)
    ]
    with ThreadPoolExecutor(6) as pool:
        results = [one.result for one in pool.map(lambda group: accept(store, group), mixed)]
    assert sum(result.accepted for result in results) == 48
    assert sum(result.duplicates for result in results) == 5 * 48
    assert rows(store, "SELECT count(*), count(DISTINCT uuid) FROM raw_event") == [(48, 48)]


async def _commit(committers: Committers, group: list[Submission]) -> Any:
    return await committers.commit(group)


@pytest.mark.parametrize("processes", [0, 1])
def test_committers_say_what_failed_in_words_that_reach_the_sender(
    store: Store, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    committers = Committers(store, processes)
    try:
        accepted = asyncio.run(_commit(committers, [submission("a", "b")]))
        assert accepted.result.accepted == 2
        with store.transaction() as connection:
            connection.execute(text("ALTER TABLE event_key RENAME TO hidden"))
        with pytest.raises(CommitError, match="event_key"):
            asyncio.run(_commit(committers, [submission("c")]))
    finally:
        committers.close()
