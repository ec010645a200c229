"""Attempts: what spends one, how long a batch waits, and when it is dead. The only such policy.

Counting and waiting are kept by the store (`raw_batch.attempts`, `raw_batch.due_at`); Dagster's
retries, a worker's and a broker's only call again. What an error is, is decided by its class.
"""

import random
from datetime import timedelta
from enum import StrEnum

from enrichment_pipeline.store.database.errors import is_store_failure

MAX_RETRIES = 3

FIRST_WAIT = timedelta(seconds=2)
_JITTER = 0.25

MAX_REPLAYS = 2
"""Failed replays after which a letter is parked, until somebody names it."""


class Reason(StrEnum):
    """Why enrichment gave something up; codes of `dead_letter.reason_code`, beside those of the
    door (`events.raw_event.Reason`)."""

    FAILED = "enrichment_failed"
    """A batch kept failing."""
    CRASHED_BATCH = "enrichment_crashed_batch"
    """Of letters of older versions: a batch whose process kept dying."""
    RAISED = "enrichment_raised"
    """An event on which the code raised."""
    TIMED_OUT = "enrichment_timed_out"
    """An event that took longer than any may."""
    OUT_OF_MEMORY = "enrichment_out_of_memory"
    """An event that wanted more memory than any may."""
    CRASHED = "enrichment_crashed"
    """An event that killed its process."""
    REFUSED = "enrichment_refused_by_store"
    """An event that PostgreSQL would not have once it was enriched."""


TRANSIENT = frozenset(
    {Reason.FAILED, Reason.CRASHED_BATCH, Reason.TIMED_OUT, Reason.OUT_OF_MEMORY, Reason.CRASHED}
)
"""Reasons that may be gone the next time: a machine that was busy, a release that was bad."""


class PermanentError(Exception):
    """Trying again cannot help."""


def spends_attempt(error: BaseException) -> bool:
    """Whether `error` counts against the batch: a failure of data or code does, a failure of the
    store does not, however long it lasts."""
    return not is_store_failure(error)


def is_last(attempts: int, error: BaseException | None = None) -> bool:
    """Whether a batch that fails with `error`, after `attempts` earlier failures, is dead."""
    return attempts >= MAX_RETRIES or isinstance(error, PermanentError)


def wait_before_retry(attempts: int) -> timedelta:
    """How long a batch waits that has failed after `attempts` earlier failures: 2, 4, 8 seconds,
    each up to a quarter more, so that batches that failed together do not return together."""
    return FIRST_WAIT * float(2**attempts) * (1 + _JITTER * random.random())  # noqa: S311
