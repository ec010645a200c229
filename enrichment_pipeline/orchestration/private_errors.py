"""What Dagster records of an error: its kind and where it was raised. Not its message, which may
name a person, because a person cannot be forgotten in what Dagster keeps.
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

# The messages of these errors are our own, and quote nothing of an event.
_OURS = (dg.Failure, dg.RetryRequested, PullError, SettingsError, StoreError)

_P = ParamSpec("_P")
_R = TypeVar("_R")


class FailedError(Exception):
    """Stands for another error; the message says which kind that was, and where it was raised."""


def keeps_errors_private(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Wrap the body of an asset, op, sensor or schedule, so that Dagster records of its errors
    their kind only."""
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
        # The error that caused ours is not ours.
        error.__cause__ = None
        error.__suppress_context__ = True
        raise
    except Exception as error:  # noqa: BLE001  raised again, without its words
        # The traceback stays: it shows code and no values.
        raise FailedError(kind_of(error)).with_traceback(error.__traceback__) from None
