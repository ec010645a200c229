"""What Dagster gets to know of an error: of what kind it is and where it was raised, not what it
says, which may be of a person. What Dagster keeps nobody can forget a person in.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar, cast

import dagster as dg

from enrichment_pipeline.ingest.pull.errors import PullError
from enrichment_pipeline.settings import SettingsError
from enrichment_pipeline.store.database.errors import StoreError, kind_of

# What these say are words of ours, with nothing in them that was in an event.
_OURS = (dg.Failure, dg.RetryRequested, PullError, SettingsError, StoreError)

_P = ParamSpec("_P")
_R = TypeVar("_R")


class FailedError(Exception):
    """Something failed; the message says what kind of error it was, and where it was raised."""


def keeps_errors_private(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """The body of an asset, an op, a sensor or a schedule, whose errors say no more to Dagster than
    of what kind they are."""
    if inspect.isgeneratorfunction(function):

        @wraps(function)
        def generator(*args: _P.args, **kwargs: _P.kwargs) -> Iterator[object]:
            with _private():
                yield from cast("Iterator[object]", function(*args, **kwargs))

        return cast("Callable[_P, _R]", generator)

    @wraps(function)
    def body(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with _private():
            return function(*args, **kwargs)

    return body


@contextmanager
def _private() -> Iterator[None]:
    try:
        yield
    except _OURS as error:
        # What they were raised from is not ours.
        error.__cause__ = None
        error.__suppress_context__ = True
        raise
    except Exception as error:  # noqa: BLE001  raised again, without its words
        # With its stack, which shows code and no values.
        raise FailedError(kind_of(error)).with_traceback(error.__traceback__) from None
