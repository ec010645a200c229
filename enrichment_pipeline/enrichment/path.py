"""The one enrichment path: claim due batches, write their enriched events, mark them, commit.

Every caller (Dagster's assets, workers, the command line, tests) uses this path. A crash at any
moment rolls back, and the batch is still due. How a batch is written belongs to `writing`.
"""

import logging
import os
import socket
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from time import monotonic
from typing import NamedTuple

from sqlalchemy import Connection

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import attempts
from enrichment_pipeline.enrichment.prefetch import Prefetch
from enrichment_pipeline.enrichment.writing import Writing, write, write_alone
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import first_line, is_cancelled, kind_of
from enrichment_pipeline.store.queue.claims import (
    Batch,
    Death,
    claim,
    claim_again,
    mark_dead,
    now_in,
    spend_attempt,
)
from enrichment_pipeline.wording import counted

logger = logging.getLogger(__name__)

CLAIM_EVENTS = 50_000
"""Events in one transaction: more would not be faster, and a crash would lose more work."""


class BatchFailure(NamedTuple):
    """A batch that failed, and why."""

    batch: int
    kind: str
    """The class and place of the error, without any content of an event."""
    message: str
    """The error's text in one line."""


@dataclass
class EnrichmentReport:
    """The result of one call of `enrich_due`."""

    events: int = 0
    batches: int = 0
    dead_events: int = 0
    """Events of these batches that became dead letters."""
    seconds: float = 0.0
    failures: list[BatchFailure] = field(default_factory=list)
    """The batches that failed."""
    is_unfinished: bool = False
    """Whether the time limit was reached while batches were still due."""

    def add(self, batches: Sequence[Batch], dead: int) -> None:
        """Count finished batches; `dead` of their events are dead letters."""
        self.batches += len(batches)
        self.events += sum(batch.due_count for batch in batches) - dead
        self.dead_events += dead


def this_worker() -> str:
    """The default name of a worker: its process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def enrich_due(
    store: Store,
    rules: Rules,
    windows: Sequence[datetime] | None = None,
    claim_events: int = CLAIM_EVENTS,
    worker: str | None = None,
    most_seconds: float = inf,
    only_due_now: bool = False,
    on_progress: Callable[[EnrichmentReport], None] = lambda _: None,
) -> EnrichmentReport:
    """Enrich all due batches (of these windows) until none is due or the time limit is reached,
    which is checked between two claims; `on_progress` is called there too. With `only_due_now` what
    comes due meanwhile is left: otherwise a call lasts for as long as events keep coming.

    A batch that fails spends an attempt and waits; after its last attempt it becomes a dead letter.
    Other batches go on. `worker` names the caller for people.

    Raises:
        Exception: the store failed; the claimed batches are still due and have spent no attempt.
    """
    report = EnrichmentReport()
    started = monotonic()
    until = _now(store) if only_due_now else None
    with ThreadPoolExecutor(1, "prefetch") as thread:
        path = _Path(
            store, rules, worker or this_worker(), report, claim_events, windows, until, thread
        )
        while path.enrich_claim():
            on_progress(report)
            if monotonic() - started > most_seconds:
                report.is_unfinished = True
                break
    report.seconds = monotonic() - started
    return report


def _now(store: Store) -> datetime:
    with store.transaction() as connection:
        return now_in(connection)


class _Path:
    """One call of `enrich_due`: its parameters and its report."""

    def __init__(
        self,
        store: Store,
        rules: Rules,
        worker: str,
        report: EnrichmentReport,
        claim_events: int,
        windows: Sequence[datetime] | None,
        until: datetime | None,
        thread: Executor,
    ) -> None:
        self._store = store
        self._report = report
        self._claim_events = claim_events
        self._windows = windows
        self._until = until
        self._writing = Writing(store, rules, worker)
        self._prefetch = Prefetch(thread, store, rules, self._claim)

    def enrich_claim(self) -> bool:
        """Enrich one claim; returns False if nothing was due."""
        claimed: list[Batch] = []
        dead = 0
        failed = False
        is_cold = self._prefetch.wait()
        try:
            with self._store.transaction() as connection:
                claimed = self._claim(connection)
                if claimed:
                    if is_cold:
                        self._prefetch.begin()
                    dead = write(connection, self._writing, claimed, self._prefetch.begin)
        except Exception as error:  # any error of data or code is charged to the batch below
            if is_cancelled(error) and len(claimed) > 1:
                self._shrink(claimed, error)
                return True
            if not claimed or not attempts.spends_attempt(error):
                raise
            failed = True
        if failed:
            # Which batch failed is not known: each is tried again alone, and charged for itself.
            for batch in claimed:
                self._enrich_alone(batch)
        else:
            self._report.add(claimed, dead)
        return bool(claimed)

    def _claim(self, connection: Connection) -> list[Batch]:
        return claim(connection, self._claim_events, self._windows, self._until)

    def _shrink(self, claimed: Sequence[Batch], error: Exception) -> None:
        """Claim less from now on: a limit that no transaction can lift cancelled the claim."""
        events = sum(batch.due_count for batch in claimed)
        self._claim_events = events // 2
        logger.warning(
            "PostgreSQL cancelled a claim of %s (%s); trying half as many: whatever limits "
            "the time of statements here should leave them more",
            counted(events, "event"),
            first_line(error),
        )

    def _enrich_alone(self, claimed: Batch) -> None:
        batch = claimed
        try:
            with self._store.transaction() as connection:
                again = claim_again(connection, claimed)
                if not again:
                    return
                batch = again
                dead = write_alone(connection, self._writing, batch)
        except Exception as error:  # as above
            if not attempts.spends_attempt(error):
                raise
            self._charge(batch, error)
            self._report.failures.append(BatchFailure(batch.id, kind_of(error), first_line(error)))
        else:
            self._report.add([batch], dead)

    def _charge(self, batch: Batch, error: Exception) -> None:
        with self._store.transaction() as connection:
            if attempts.is_last(batch.attempts, error):
                trace = "".join(traceback.format_exception(error))
                death = Death(
                    attempts.FailureReason.FAILED,
                    first_line(error),
                    trace,
                    self._writing.rules.version,
                    self._writing.worker,
                )
                mark_dead(connection, batch, death, attempts.MAX_REPLAYS)
            else:
                wait = attempts.wait_before_retry(batch.attempts)
                spend_attempt(connection, batch, first_line(error), wait)
