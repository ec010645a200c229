"""Attempts: which errors spend one, how long a batch waits, when it is dead. The only such policy.

The store keeps counts and waiting times (`raw_batch.attempts`, `raw_batch.due_at`); retries of
Dagster, a worker or a broker only call again. The class of an error decides what it costs.
"""

import random
from datetime import timedelta
from enum import StrEnum

from enrichment_pipeline.store.database.errors import is_store_failure

MAX_RETRIES = 3

FIRST_WAIT = timedelta(seconds=2)
_JITTER = 0.25

MAX_REPLAYS = 2
"""Failed replays that exhaust a letter (state `parked`); then a replay has to name its id."""


class FailureReason(StrEnum):
    """Why enrichment failed for good; codes of `dead_letter.reason_code`, beside those of ingestion
    (`events.raw_event.RejectionReason`)."""

    FAILED = "enrichment_failed"
    """A batch kept failing."""
    CRASHED_BATCH = "enrichment_crashed_batch"
    """Used by older versions only: a batch whose process kept dying."""
    RAISED = "enrichment_raised"
    """The code raised an exception on this event."""
    TIMED_OUT = "enrichment_timed_out"
    """The event took longer than the time limit."""
    OUT_OF_MEMORY = "enrichment_out_of_memory"
    """The event needed more memory than the limit."""
    CRASHED = "enrichment_crashed"
    """The event killed its process."""
    REFUSED = "enrichment_refused_by_store"
    """PostgreSQL refused the enriched event."""


TRANSIENT = frozenset(
    {
        FailureReason.FAILED,
        FailureReason.CRASHED_BATCH,
        FailureReason.TIMED_OUT,
        FailureReason.OUT_OF_MEMORY,
        FailureReason.CRASHED,
    }
)
"""Reasons that may not recur: the machine was busy, or a release was faulty."""


class PermanentError(Exception):
    """An error that a retry cannot help."""


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
