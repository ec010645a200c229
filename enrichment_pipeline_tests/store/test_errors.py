"""Distinguishing errors, and running again what only lost against another."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import (
    StoreError,
    StoreUnavailableError,
    first_line,
    is_conflict,
    is_store_failure,
    retry_conflicts,
)


def wrapped(error: BaseException) -> DBAPIError:
    return DBAPIError("SELECT 1", None, error)


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("gone"),
        psycopg.OperationalError("connection refused"),
        wrapped(psycopg.InterfaceError("the connection is closed")),
        wrapped(psycopg.errors.DiskFull()),
        wrapped(psycopg.errors.QueryCanceled()),
        psycopg.errors.SerializationFailure(),
        psycopg.errors.IoError(),
        psycopg.errors.ReadOnlySqlTransaction(),
        wrapped(psycopg.errors.IdleInTransactionSessionTimeout()),
        wrapped(psycopg.errors.TransactionTimeout()),
    ],
    ids=repr,
)
def test_what_is_wrong_with_the_store_is_its_failure(error: BaseException) -> None:
    assert is_store_failure(error)


@pytest.mark.parametrize(
    "error",
    [
        StoreError("put right by the user"),
        ValueError("code"),
        wrapped(ValueError("raised by the driver's caller")),
        psycopg.errors.CheckViolation(),
        wrapped(psycopg.errors.UntranslatableCharacter()),
        # OperationalErrors both, but retried for ever they would not go away.
        psycopg.errors.ProgramLimitExceeded(),
        wrapped(psycopg.errors.StatementTooComplex()),
    ],
    ids=repr,
)
def test_what_is_wrong_with_data_or_code_is_not(error: BaseException) -> None:
    assert not is_store_failure(error)


def test_data_that_pass_a_limit_of_postgresql_are_no_failure_of_the_store(store: Store) -> None:
    too_deep = text("SELECT CAST(repeat('[', 100000) AS jsonb)")
    with pytest.raises(DBAPIError) as raised, store.transaction() as connection:
        connection.execute(too_deep)
    assert isinstance(raised.value.orig, psycopg.OperationalError)
    assert not is_store_failure(raised.value)


@pytest.mark.parametrize(
    ("error", "conflict"),
    [
        (psycopg.errors.DeadlockDetected(), True),
        (wrapped(psycopg.errors.SerializationFailure()), True),
        (psycopg.errors.LockNotAvailable(), False),
        (ValueError(), False),
    ],
    ids=repr,
)
def test_a_conflict_is_a_deadlock_or_a_serialization_failure(
    error: BaseException, conflict: bool
) -> None:
    assert is_conflict(error) is conflict


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (wrapped(psycopg.DataError("\n bad\nDETAIL: much")), "bad"),
        (ValueError("\n"), "ValueError"),
    ],
)
def test_the_first_line_of_an_error_always_says_something(error: BaseException, line: str) -> None:
    assert first_line(error) == line


@pytest.mark.parametrize(
    ("error", "runs"), [(psycopg.errors.DeadlockDetected(), 8), (psycopg.DataError(), 1)]
)
def test_a_conflict_is_tried_eight_times_and_anything_else_once(
    error: Exception, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    tried: list[int] = []

    @retry_conflicts
    def fail() -> None:
        tried.append(1)
        raise error

    with pytest.raises(type(error)):
        fail()
    assert (len(tried), len(waits)) == (runs, runs - 1)


def test_two_transactions_in_each_others_way_both_succeed(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute(text("INSERT INTO store_setting VALUES ('x', ''), ('y', '')"))
    both_hold_one = Barrier(2)
    runs: list[str] = []

    @retry_conflicts
    def add(first: str, second: str) -> None:
        statement = text("UPDATE store_setting SET value = value || :first WHERE name = :name")
        runs.append(first)
        with store.transaction() as connection:
            connection.execute(text("SET LOCAL deadlock_timeout = '20ms'"))
            connection.execute(statement, {"first": first, "name": first})
            if len(runs) <= 2:
                both_hold_one.wait()
            connection.execute(statement, {"first": first, "name": second})

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, ("x", "y"), ("y", "x")))
    assert len(runs) > 2
    with store.transaction() as connection:
        values = connection.execute(
            text("SELECT value FROM store_setting WHERE name IN ('x', 'y')")
        ).scalars()
        assert [sorted(value) for value in values] == [["x", "y"]] * 2
