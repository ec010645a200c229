"""The errors of the store that callers can distinguish.

Whether one spends an attempt is decided in `enrichment.attempts`.
"""

import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from enrichment_pipeline.wording import UserError

_P = ParamSpec("_P")
_R = TypeVar("_R")

_PACKAGE = Path(__file__).parents[2]


class StoreError(UserError):
    """An error that the user has to correct; the message is one line that says what and how."""


class StoreUnavailableError(StoreError):
    """PostgreSQL does not answer."""


def driver_error(error: BaseException) -> psycopg.Error | None:
    """psycopg's error inside `error`, if there is one."""
    if isinstance(error, DBAPIError):
        return error.orig if isinstance(error.orig, psycopg.Error) else None
    return error if isinstance(error, psycopg.Error) else None


# The server is read-only, as after a fail-over; or it ended a transaction that was idle or slow.
_OF_THE_SERVER = {"25006", "25P03", "25P04"}


def is_store_failure(error: BaseException) -> bool:
    """Whether the store itself failed (gone, full, locked, out of memory), not data or code.

    PostgreSQL classifies such errors by the class of the SQLSTATE, which psycopg turns into
    OperationalError: 08 connection, 40 rollback, 53 resources, 55 locks, 57 operator, 58 system. It
    does the same with class 54, program limits, but there the data exceed the limit; and it does
    not with those errors of class 25 that the server causes and not the statement.
    """
    if isinstance(error, StoreUnavailableError):
        return True
    found = driver_error(error)
    state = (found.sqlstate if found else None) or ""
    if state in _OF_THE_SERVER:
        return True
    if state.startswith("54"):
        return False
    return isinstance(found, psycopg.OperationalError | psycopg.InterfaceError)


def blames_data(error: BaseException) -> bool:
    """Whether PostgreSQL refused a row for its content, by the class of the SQLSTATE: 22 data, 23
    constraints, 54 program limits."""
    found = driver_error(error)
    return found is not None and (found.sqlstate or "")[:2] in {"22", "23", "54"}


def is_conflict(error: BaseException) -> bool:
    """Whether `error` is a deadlock or a serialization failure: a retry of the transaction
    succeeds."""
    found = driver_error(error)
    return isinstance(found, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)


def is_cancelled(error: BaseException) -> bool:
    """Whether a statement was cancelled: by a limit of time, or by an administrator."""
    return isinstance(driver_error(error), psycopg.errors.QueryCanceled)


def kind_of(error: BaseException) -> str:
    """The class of an error and the place in our code that raised it, without any data: for readers
    who may not see the data's owner."""
    found = driver_error(error)
    kind = type(found or error).__name__
    # PostgreSQL quotes values in errors about data; in others it names tables, columns and rights.
    if found is not None and not blames_data(found):
        kind += f": {found.diag.message_primary or first_line(found)}"
    elif found is not None:
        column = ".".join(filter(None, (found.diag.table_name, found.diag.column_name)))
        kind += f" (SQLSTATE {found.sqlstate}{f', {column}' if column else ''})"
    elif isinstance(error, OSError) and error.strerror:
        kind += f": {error.strerror}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    if not frames:
        return kind
    place = Path(frames[-1].filename).relative_to(_PACKAGE)
    return f"{kind}, in {frames[-1].name} ({place}:{frames[-1].lineno})"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for a message of one line."""
    text = str(driver_error(error) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def retry_conflicts(transaction: Callable[_P, _R]) -> Callable[_P, _R]:
    """Runs a function that is one whole transaction again when it lost a conflict with another
    one."""
    # One for all calls. tenacity's own decorator makes one for each, in cycles of objects, and the
    # garbage collector that cleared them up stopped each process for 50 ms now and then.
    retrying = Retrying(
        retry=retry_if_exception(is_conflict),
        wait=wait_random_exponential(multiplier=0.02, max=1),
        stop=stop_after_attempt(8),
        reraise=True,
    )

    @wraps(transaction)
    def until_done(*arguments: _P.args, **named: _P.kwargs) -> _R:
        return retrying(transaction, *arguments, **named)

    return until_done
