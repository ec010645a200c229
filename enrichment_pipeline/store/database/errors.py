"""The errors of the store: what callers may tell apart.

Whether one spends an attempt is decided in `enrichment.attempts`.
"""

import traceback
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_random_exponential

from enrichment_pipeline.wording import UserError

_PACKAGE = Path(__file__).parents[2]


class StoreError(UserError):
    """Something that the user has to put right; the message is one line that says what and how."""


class StoreUnavailableError(StoreError):
    """PostgreSQL does not answer."""


def driver_error(error: BaseException) -> psycopg.Error | None:
    """psycopg's error inside `error`, where there is one."""
    if isinstance(error, DBAPIError):
        return error.orig if isinstance(error.orig, psycopg.Error) else None
    return error if isinstance(error, psycopg.Error) else None


# It may only be read, as after a fail-over; it ended a transaction that said nothing, or took long.
_OF_THE_SERVER = {"25006", "25P03", "25P04"}


def is_store_failure(error: BaseException) -> bool:
    """Whether the store itself failed (gone, full, locked, out of memory), not data or code.

    PostgreSQL's own account of that is the class of the SQLSTATE, which psycopg turns into
    OperationalError: 08 connection, 40 rollback, 53 resources, 55 locks, 57 operator, 58 system.
    So it does with class 54, limits of the program, but what passes those is the data; and not with
    those of class 25 that come from the server and not from what it was told.
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
    """Whether PostgreSQL refused a row for what is in it: by the class of the SQLSTATE, 22 data, 23
    constraints, 54 limits of the program."""
    found = driver_error(error)
    return found is not None and (found.sqlstate or "")[:2] in {"22", "23", "54"}


def is_conflict(error: BaseException) -> bool:
    """Whether `error` is a deadlock or a serialization failure: the same transaction, run again,
    succeeds."""
    found = driver_error(error)
    return isinstance(found, psycopg.errors.DeadlockDetected | psycopg.errors.SerializationFailure)


def kind_of(error: BaseException) -> str:
    """What kind of error it is and where our code raised it, without what it says of data: for
    those who may not see whose data that is."""
    found = driver_error(error)
    kind = type(found or error).__name__
    # PostgreSQL quotes values where it blames them; otherwise it names tables, columns and rights.
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
