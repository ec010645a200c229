"""What spends an attempt, how long a batch waits, and when it is dead."""

from datetime import timedelta

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from enrichment_pipeline.enrichment.attempts import (
    FIRST_WAIT,
    MAX_RETRIES,
    is_last,
    spends_attempt,
    wait_before_retry,
)
from enrichment_pipeline.enrichment.writing import EnrichmentError
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import StoreUnavailableError


def wrapped(error: psycopg.Error) -> DBAPIError:
    return DBAPIError("SELECT 1", None, error)


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailableError("gone"),
        psycopg.OperationalError("connection refused"),
        psycopg.InterfaceError("the connection is closed"),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.DiskFull(),
        psycopg.errors.DeadlockDetected(),
        psycopg.errors.LockNotAvailable(),
        psycopg.errors.TooManyConnections(),
        wrapped(psycopg.errors.OutOfMemory()),
        wrapped(psycopg.errors.CannotConnectNow()),
    ],
    ids=repr,
)
def test_a_failure_of_the_store_spends_no_attempt(error: Exception) -> None:
    assert not spends_attempt(error)


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        MemoryError(),
        # Not PostgreSQL's connection, but that of some code that reads a file or asks a service.
        ConnectionError("of something else"),
        TimeoutError(),
        EnrichmentError("the data contradict themselves"),
        psycopg.errors.UniqueViolation(),
        wrapped(psycopg.errors.NumericValueOutOfRange()),
        wrapped(psycopg.errors.UndefinedColumn()),
    ],
    ids=repr,
)
def test_a_failure_of_data_or_code_spends_one(error: Exception) -> None:
    assert spends_attempt(error)


@pytest.mark.parametrize(
    ("statement", "spends"),
    [("SELECT pg_cancel_backend(pg_backend_pid())", False), ("SELECT 1/0", True)],
)
def test_errors_are_distinguished_as_postgresql_raises_them(
    statement: str, spends: bool, store: Store
) -> None:
    with pytest.raises(DBAPIError) as failed, store.transaction() as connection:
        connection.execute(text(statement))
    assert spends_attempt(failed.value) is spends


def test_a_batch_is_tried_again_three_times() -> None:
    assert MAX_RETRIES == 3
    assert [is_last(attempts) for attempts in range(5)] == [False, False, False, True, True]


@given(st.integers(0, MAX_RETRIES))
def test_each_wait_is_twice_the_last_and_at_most_a_quarter_more(attempts: int) -> None:
    least = FIRST_WAIT * 2**attempts
    assert least <= wait_before_retry(attempts) <= 1.25 * least


def test_batches_that_failed_together_do_not_return_together() -> None:
    waits = {wait_before_retry(0) for _ in range(50)}
    assert len(waits) > 40
    assert max(waits) - min(waits) > timedelta(milliseconds=100)
