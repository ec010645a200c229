"""Waiting for the locks of tables that others are at work with, without holding these others up.

Whoever waits for a lock of PostgreSQL holds up everybody who comes after: a change of a table gives
way after `lock_seconds` and tries again. What is changed belongs to `migrations`.
"""

import psycopg
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from enrichment_pipeline.store.database.errors import driver_error

# With what the change itself takes, commits are held up for less than a second.
_LOCK_SECONDS = 0.7

GIVE_UP_SECONDS = 300
"""How long a change is tried. A claim of 50,000 events takes seconds, and several processes make
one after the other."""


def lock_seconds() -> float:
    """How long a change may wait for a lock that stops commits."""
    return _LOCK_SECONDS


def gave_way(error: BaseException) -> bool:
    """Whether a change has waited too long for a lock, or was cancelled by whoever was before."""
    return isinstance(
        driver_error(error),
        psycopg.errors.LockNotAvailable
        | psycopg.errors.DeadlockDetected
        | psycopg.errors.QueryCanceled,
    )


patiently = retry(
    retry=retry_if_exception(gave_way),
    wait=wait_random(0.5, 1.5),
    stop=stop_after_delay(GIVE_UP_SECONDS),
    reraise=True,
)
"""Runs a function that is one change of a table again when it `gave_way`."""
