"""Attempts: what spends one, how long a batch waits, and when it is dead. The only such policy.

Counting and waiting are kept by the store (`raw_batch.attempts`, `raw_batch.due_at`); Dagster's
retries only call again.
"""

import random
from datetime import timedelta

from enrichment_pipeline.store.errors import is_store_failure

MAX_RETRIES = 3

FIRST_WAIT = timedelta(seconds=2)
_JITTER = 0.25


def spends_attempt(error: BaseException) -> bool:
    """Whether `error` counts against the batch: a failure of data or code does, a failure of the
    store does not, however long it lasts."""
    return not is_store_failure(error)


def is_last(attempts: int) -> bool:
    """Whether a batch that fails after `attempts` earlier failures is dead."""
    return attempts >= MAX_RETRIES


def wait_before_retry(attempts: int) -> timedelta:
    """How long a batch waits that has failed after `attempts` earlier failures: 2, 4, 8 seconds,
    each up to a quarter more, so that batches that failed together do not return together."""
    return FIRST_WAIT * float(2**attempts) * (1 + _JITTER * random.random())  # noqa: S311
