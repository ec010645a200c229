"""The one enrichment path: claim due batches, write their enriched events, mark them; commit.

Every caller (Dagster's assets, workers, the command line, tests) comes through here. A crash at any
moment rolls back to a batch that is still due.
"""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from sqlalchemy import Connection

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment import attempts
from enrichment_pipeline.enrichment.derive import derive, output_version
from enrichment_pipeline.store.claims import (
    Batch,
    claim,
    claim_again,
    mark_dead,
    mark_enriched,
    spend_attempt,
)
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.enriched import (
    expect_many,
    missing_inputs,
    remove_enriched,
    write_enriched,
)
from enrichment_pipeline.store.errors import first_line
from enrichment_pipeline.store.inputs import read_inputs, remember_outputs

CLAIM_EVENTS = 50_000
"""Events in one transaction: more gain no speed, and a crash would throw away more."""


class EnrichmentError(Exception):
    """The data of a batch contradict themselves."""


@dataclass
class EnrichmentReport:
    """What one call of `enrich_due` did."""

    events: int = 0
    batches: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    """One line for each batch that failed."""

    def add(self, batches: Sequence[Batch]) -> None:
        """Count batches that were enriched."""
        self.batches += len(batches)
        self.events += sum(batch.due_count for batch in batches)


def enrich_due(
    store: Store,
    rules: Rules,
    windows: Sequence[datetime] | None = None,
    claim_events: int = CLAIM_EVENTS,
) -> EnrichmentReport:
    """Enrich all that is due (in these windows), until nothing is.

    A batch that fails spends an attempt and waits, or dies after the last one; the others go on.

    Raises:
        Exception: the store failed; the batches in hand are still due, and have spent nothing.
    """
    report = EnrichmentReport()
    started = monotonic()
    while _enrich_claim(store, rules, windows, claim_events, report):
        pass
    report.seconds = monotonic() - started
    return report


def _enrich_claim(
    store: Store,
    rules: Rules,
    windows: Sequence[datetime] | None,
    claim_events: int,
    report: EnrichmentReport,
) -> bool:
    """Enrich one claim; False where nothing was due."""
    claimed: list[Batch] = []
    try:
        with store.transaction() as connection:
            claimed = claim(connection, claim_events, windows)
            if not claimed:
                return False
            _write(connection, store, rules, claimed)
            mark_enriched(connection, claimed)
    except Exception as error:  # whatever data or code can raise is charged to the batch below
        if not claimed or not attempts.spends_attempt(error):
            raise
        # Which of them failed is not known: each is tried again alone, and charged for itself.
        for batch in claimed:
            _enrich_alone(store, rules, batch, report)
    else:
        report.add(claimed)
    return True


def _enrich_alone(store: Store, rules: Rules, batch: Batch, report: EnrichmentReport) -> None:
    try:
        with store.transaction() as connection:
            if not claim_again(connection, batch):
                return
            # A batch that was enriched before (a backup restored, a row set back by hand) fails
            # on its own rows: here they make room.
            remove_enriched(connection, [batch], store.window)
            _write(connection, store, rules, [batch])
            mark_enriched(connection, [batch])
    except Exception as error:  # as above
        if not attempts.spends_attempt(error):
            raise
        _charge(store, rules, batch, error)
        report.failures.append(f"batch {batch.id}: {first_line(error)}")
    else:
        report.add([batch])


def _charge(store: Store, rules: Rules, batch: Batch, error: Exception) -> None:
    with store.transaction() as connection:
        if attempts.is_last(batch.attempts):
            trace = "".join(traceback.format_exception(error))
            mark_dead(connection, batch, first_line(error), trace, rules.version)
        else:
            wait = attempts.wait_before_retry(batch.attempts)
            spend_attempt(connection, batch, first_line(error), wait)


def _write(connection: Connection, store: Store, rules: Rules, batches: Sequence[Batch]) -> None:
    version = output_version(rules)
    due = sum(batch.due_count for batch in batches)
    expect_many(connection, due)
    written = write_enriched(connection, batches, store.window, version, rules.version)
    # Optimistic: nearly always every input is known, and looking for missing ones first would
    # cost each claim a second pass over its events.
    if written < due:
        keys = missing_inputs(connection, batches, store.window, version)
        outputs = {key: derive(inputs, rules) for key, inputs in read_inputs(store, keys).items()}
        remember_outputs(store, version, outputs)
        written += write_enriched(connection, batches, store.window, version, rules.version, keys)
    if written != due:
        raise EnrichmentError(
            f"{due:,} events are due in {len(batches)} batches, but raw_event has {written:,}"
        )
