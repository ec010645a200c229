"""Processes that die with work in hand: real ones, killed in the middle of their transaction."""

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest
from sqlalchemy import Connection, text

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import apart
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.store.books import books, counted_books
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.load import load_events
from enrichment_pipeline.store.work_in_hand import Hand, take_work_of_the_dead
from enrichment_pipeline_tests.conftest import HOUR, raw_events
from enrichment_pipeline_tests.poison import HANGS, KILLS, poisoned

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

ENRICH = """
    import sys
    from enrichment_pipeline.classification import load_rules
    from enrichment_pipeline.enrichment import deriving
    from enrichment_pipeline.enrichment.path import enrich_due
    from enrichment_pipeline.settings import load_settings
    from enrichment_pipeline.store.engine import opened_store
    from enrichment_pipeline_tests.poison import poisoned

    deriving.derive_here.__defaults__ = (0.3, 2**30)
    with opened_store(load_settings()) as store:
        enrich_due(store, poisoned(load_rules(), bad=sys.argv[1]), worker="victim")
"""


def rows(opened: Store, statement: str, **parameters: object) -> list[Any]:
    with opened.transaction() as connection:
        return list(connection.execute(text(statement), parameters).all())


def make_due(store: Store) -> None:
    rows(store, "UPDATE raw_batch SET due_at = now() WHERE state = 'pending' RETURNING id")


def enrich_in_a_process(harm: str) -> int:
    """Enrich in a process that the poison ends; returns how it ended."""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(ENRICH), harm]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


@pytest.mark.parametrize(("harm", "ended"), [(KILLS, -9), (HANGS, 1)])
def test_a_batch_that_ends_its_process_ends_as_one_dead_event(
    harm: str, ended: int, store: Store, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_events(store, [*raw_events(3, NOON), *raw_events(1, NOON, event="bad")], [], "test")
    for number in range(1, 4):
        load_events(store, raw_events(4, NOON + number * HOUR), [], "test")

    assert enrich_in_a_process(harm) == ended
    # Which of the four was at fault is not known: nobody is charged, and each is tried alone.
    assert enrich_in_a_process(harm) == 0
    found = rows(store, "SELECT state, attempts, crashes FROM raw_batch ORDER BY id")
    assert found == [("pending", 0, 1)] * 4
    make_due(store)
    assert enrich_in_a_process(harm) == ended
    assert enrich_in_a_process(harm) == 0
    found = rows(store, "SELECT state, attempts, crashes FROM raw_batch ORDER BY id")
    assert found == [("pending", 1, 2), *[("enriched", 0, 1)] * 3]

    # After its second death it is tried in a child with limits.
    make_due(store)
    monkeypatch.setattr(apart.Apart.__init__, "__defaults__", (0.3, 2**29))
    report = enrich_due(store, poisoned(rules, bad=harm))
    assert (report.events, report.dead_events, report.failures) == (3, 1, [])
    letter = rows(store, "SELECT * FROM dead_letter")
    assert [(one.kind, one.event, one.event_count) for one in letter] == [("event", "bad", 1)]
    assert letter[0].payload
    with store.transaction() as connection:
        kept = books(connection)
        assert kept == counted_books(connection, [window.window_start for window in kept], HOUR)
    assert sum(window.enriched for window in kept) == 15


def test_work_of_a_living_process_is_left_alone(store: Store) -> None:
    load_events(store, raw_events(1, NOON), [], "test")
    with Hand(store, "me") as hand, store.transaction() as connection:
        hand.take(connection, [1])
        with store.transaction() as other:
            assert take_work_of_the_dead(other) == []
        hand.put_down(connection)
    assert rows(store, "SELECT * FROM work_in_hand") == []


def test_an_exception_is_no_death_and_leaves_nothing_behind(store: Store) -> None:
    def interrupted() -> None:
        with Hand(store, "me") as hand, store.transaction() as connection:
            hand.take(connection, [1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert rows(store, "SELECT * FROM work_in_hand") == []


def written_down(opened: Store, **other: object) -> None:
    row = {
        "host": "elsewhere",
        "pid": 1,
        "started": 0.0,
        "begun": datetime.now(UTC),
        "store": None,
        **other,
    }
    rows(
        opened,
        """
        INSERT INTO work_in_hand (
            worker, host, pid, process_started, begun_at, store_started, batch_ids, letter_ids
        ) VALUES (
            'other', :host, :pid, :started, :begun,
            coalesce(CAST(:store AS timestamptz), pg_postmaster_start_time()), '{7}', '{}'
        ) RETURNING id
        """,
        **row,
    )


def test_a_process_of_another_machine_is_dead_after_a_silence(store: Store) -> None:
    written_down(store)
    with store.transaction() as connection:
        assert take_work_of_the_dead(connection) == []
        connection.execute(text("UPDATE work_in_hand SET begun_at = now() - interval '2 minutes'"))
        assert [work.batch_ids for work in take_work_of_the_dead(connection)] == [[7]]
        assert take_work_of_the_dead(connection) == []


def of_another_machine(store: Store) -> None:
    """What is in hand was begun an hour ago, by a process that cannot be asked."""
    rows(
        store,
        """
        UPDATE work_in_hand SET host = 'elsewhere', begun_at = now() - interval '1 h' RETURNING id
        """,
    )


def test_long_work_of_another_machine_that_has_just_failed_is_no_death(store: Store) -> None:
    def work(hand: Hand) -> None:
        with store.transaction() as connection:
            hand.take(connection, [1])
            of_another_machine(store)
            with store.transaction() as other:
                assert take_work_of_the_dead(other) == []
            raise ZeroDivisionError

    hand = Hand(store, "me")
    with pytest.raises(ZeroDivisionError) as error:
        work(hand)
    # Its transaction is over, and its row still there.
    with store.transaction() as other:
        assert take_work_of_the_dead(other) == []
    hand.__exit__(error.type, error.value, None)
    assert rows(store, "SELECT * FROM work_in_hand") == []


def test_work_has_its_lock_before_anybody_can_see_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks as soon as the row is written down finds a living process."""
    load_events(store, raw_events(1, NOON), [], "test")
    found: list[object] = []
    transaction = Store.transaction

    @contextmanager
    def looked_at(self: Store) -> Iterator[Connection]:
        with transaction(self) as connection:
            yield connection
        with store.engine.begin() as other:
            if other.execute(text("SELECT count(*) FROM work_in_hand")).scalar_one():
                other.execute(text("UPDATE work_in_hand SET host = 'elsewhere'"))
                found.append(take_work_of_the_dead(other))
                flags = other.execute(text("SELECT seen_unlocked FROM work_in_hand"))
                found.extend(flags.scalars())

    with store.transaction() as connection, Hand(store, "me") as hand:
        monkeypatch.setattr(Store, "transaction", looked_at)
        hand.take(connection, [1])
        monkeypatch.undo()
        hand.put_down(connection)
    assert found == [[], False]


def test_what_a_restart_of_the_store_cut_off_is_held_against_nobody(store: Store) -> None:
    written_down(store, begun=NOON, store=NOON)
    with store.transaction() as connection:
        assert take_work_of_the_dead(connection) == []
    assert rows(store, "SELECT * FROM work_in_hand") == []


def test_a_pid_that_another_process_has_now_is_no_sign_of_life(store: Store) -> None:
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    written_down(store, **here, started=psutil.Process().create_time())
    with store.transaction() as connection:
        assert take_work_of_the_dead(connection) == []
    written_down(store, **here, started=12_345.0)
    with store.transaction() as connection:
        assert len(take_work_of_the_dead(connection)) == 1
