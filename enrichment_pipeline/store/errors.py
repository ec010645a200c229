"""The errors of the store: what callers may tell apart.

Whether one spends an attempt is decided in `enrichment.attempts`.
"""

import psycopg
from sqlalchemy.exc import DBAPIError
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential


class StoreError(Exception):
    """Something that the user has to put right; the message is one line that says what and how."""


class StoreUnavailableError(StoreError):
    """PostgreSQL does not answer."""


def driver_error(error: BaseException) -> psycopg.Error | None:
    """psycopg's error inside `error`, where there is one."""
    if isinstance(error, DBAPIError):
        return error.orig if isinstance(error.orig, psycopg.Error) else None
    return error if isinstance(error, psycopg.Error) else None


def is_store_failure(error: BaseException) -> bool:
    """Whether the store itself failed (gone, full, locked, out of memory), not data or code.

    PostgreSQL's own account of that is the class of the SQLSTATE, which psycopg turns into
    OperationalError: 08 connection, 40 rollback, 53 resources, 55 locks, 57 operator, 58 system.
    So it does with class 54, limits of the program, but what passes those is the data.
    """
    if isinstance(error, StoreUnavailableError):
        return True
    found = driver_error(error)
    if found is not None and (found.sqlstate or "").startswith("54"):
        return False
    return isinstance(found, psycopg.OperationalError | psycopg.InterfaceError)


def blames_data(error: BaseException) -> bool:
    """Whether PostgreSQL refused a row for what is in it: by the class of the SQLSTATE, 22 data, 23
    constraints, 54 limits of the program."""
    found = driver_error(error)
    return found is not None and (found.sqlstate or "")[:2] in {"22", "23", "54"}


def is_conflict(error: BaseException) -> bool:
    """Whether `error` is a deadlock or a serialization failure: the same transaction, run again,
    succeeds."""
    found = driver_error(error)
    return isinstance(found, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, for a message of one line."""
    text = str(driver_error(error) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


retry_conflicts = retry(
    retry=retry_if_exception(is_conflict),
    wait=wait_random_exponential(multiplier=0.02, max=1),
    stop=stop_after_attempt(8),
    reraise=True,
)
"""Runs a function that is one whole transaction again when it lost against another one."""
