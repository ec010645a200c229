"""From submissions to durable events, when something goes wrong that is nobody's fault but one."""

import gc
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from enrichment_pipeline.events.raw_event import Arrival, RawEvent, RejectionReason
from enrichment_pipeline.ingest.api import accept as module
from enrichment_pipeline.ingest.api.accept import Origin, Submission, accept
from enrichment_pipeline.ingest.api.writers import CommitError, Writers
from enrichment_pipeline.ingest.chunks import load_chunk
from enrichment_pipeline.ingest.file_records import FileRecord
from enrichment_pipeline.store.database.engine import Store, connect_store
from enrichment_pipeline.store.database.errors import StoreUnavailableError
from enrichment_pipeline_tests.conftest import make_event

LIVE = Origin("api")
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
        [None, RejectionReason.REFUSED_BY_STORE, None],
        [None],
    ]
    assert (result.accepted, result.quarantined.total()) == (5, 1)
    assert rows(store, "SELECT event FROM raw_event ORDER BY 1") == [(n,) for n in "abcde"]
    assert rows(store, "SELECT event, message FROM dead_letter") == [
        ("poison", "division by zero"),
    ]


@pytest.mark.usefixtures("poison")
def test_where_most_events_fail_it_is_our_code_and_none_is_quarantined(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        accept(store, [submission("poison", "a", "poison"), submission("poison", "poison")])
    assert rows(store, "SELECT 1 FROM dead_letter") == []


@pytest.mark.usefixtures("poison")
def test_an_event_that_is_alone_is_at_fault_where_the_commit_before_went_through(
    store: Store,
) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            accept(store, [submission("poison")])
    accept(store, [submission("a")])
    [[verdict]] = accept(store, [submission("poison")]).verdicts
    assert verdict is not None
    with pytest.raises(ZeroDivisionError):
        accept(store, [submission("poison")])
    assert rows(store, "SELECT count(*) FROM dead_letter") == [(1,)]


def test_what_postgresql_blames_on_the_schema_costs_no_event(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(store, [submission("a")])
    with store.transaction() as connection:
        connection.execute(text("ALTER TABLE raw_event RENAME COLUMN title TO titel"))
    loads: list[int] = []
    load = module.load_events

    def counted(*arguments: Any, **named: Any) -> Any:
        loads.append(len(arguments[1]))
        return load(*arguments, **named)

    monkeypatch.setattr(module, "load_events", counted)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        accept(store, [submission(*"bcdefgh")])
    assert loads == [7], "halving does not help"
    assert rows(store, "SELECT 1 FROM dead_letter") == []


def test_a_role_that_may_not_make_the_partition_of_a_new_day_costs_no_event(store: Store) -> None:
    role = f"writer_{uuid.uuid4().hex[:8]}"
    with store.transaction() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        for kind in ("TABLES", "SEQUENCES"):
            connection.execute(text(f"GRANT ALL ON ALL {kind} IN SCHEMA public TO {role}"))
    writer = connect_store(
        store.settings.model_copy(
            update={
                "database_url": SecretStr(
                    store.engine.url.set(username=role, drivername="postgresql").render_as_string()
                )
            }
        )
    )
    try:
        with pytest.raises(ProgrammingError, match="permission denied"):
            accept(writer, [submission("a", "b", "c")])
    finally:
        writer.close()
    assert rows(store, "SELECT 1 FROM dead_letter") == []
    with store.transaction() as connection:
        connection.execute(text(f"DROP OWNED BY {role}"))
        connection.execute(text(f"DROP ROLE {role}"))


def test_an_event_that_postgresql_refuses_is_reported_so_and_can_come_again(store: Store) -> None:
    accept(store, [submission("that makes the partition")])
    group = [submission("a", "odd"), submission("b"), submission("odd", "c")]
    with store.transaction() as connection:
        connection.execute(text("ALTER TABLE raw_event ADD CONSTRAINT x CHECK (event <> 'odd')"))
    for expected in ((3, 0, 2), (0, 5, 0)):
        verdicts, result = accept(store, group)
        assert [[verdict and verdict.reason for verdict in one] for one in verdicts] == [
            [None, RejectionReason.REFUSED_BY_STORE],
            [None],
            [RejectionReason.REFUSED_BY_STORE, None],
        ]
        assert (result.accepted, result.duplicates, result.quarantined.total()) == expected
    with store.transaction() as connection:
        connection.execute(text("ALTER TABLE raw_event DROP CONSTRAINT x"))
    verdicts, result = accept(store, group)
    assert (result.accepted, result.duplicates) == (2, 3)
    assert verdicts == [[None, None], [None], [None, None]]


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "2020-05-01T00:00:00Z"])
def test_a_rejected_event_is_assigned_to_a_window_that_there_is(store: Store, at: str) -> None:
    broken = b'{"event":"a","distinct_id":"d","timestamp":"%s","properties":5}' % at.encode()
    accept(store, [Submission(LIVE, "shop", [broken], Arrival(NOW))])
    load_chunk(store, [FileRecord(broken + b" ", 1)], "shop")
    windows = rows(store, "SELECT window_start FROM dead_letter")
    assert [NOW - window < timedelta(hours=2) for (window,) in windows] == [True, True]


@pytest.mark.usefixtures("poison")
def test_an_event_that_our_code_fails_for_is_assigned_to_a_window_that_there_is(
    store: Store,
) -> None:
    ancient = make_event("poison", timestamp="0001-01-01T00:00:00Z")
    others = submission("a", "b")
    accept(store, [others, Submission(LIVE, "shop", [ancient], Arrival(NOW))])
    [(window,)] = rows(store, "SELECT window_start FROM dead_letter")
    assert NOW - window < timedelta(hours=2)


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


async def _commit(writers: Writers, group: list[Submission]) -> Any:
    return await writers.commit(group)


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.slow
def test_writers_say_what_failed_in_words_that_reach_the_sender(
    store: Store, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    writers = Writers(store, processes)
    try:
        accepted = asyncio.run(_commit(writers, [submission("a", "b")]))
        assert accepted.result.accepted == 2
        with store.transaction() as connection:
            connection.execute(text("ALTER TABLE event_key RENAME TO hidden"))
        with pytest.raises(CommitError, match="event_key"):
            asyncio.run(_commit(writers, [submission("c")]))
    finally:
        writers.close()


def test_a_commit_leaves_no_work_for_the_garbage_collector(store: Store) -> None:
    def accept_both() -> None:
        accept(store, [submission("a", "b"), Submission(LIVE, "shop", [b"[]"], Arrival(NOW))])

    accept_both()
    gc.collect()
    gc.disable()
    try:
        accept_both()
        assert gc.collect() == 0
    finally:
        gc.enable()
