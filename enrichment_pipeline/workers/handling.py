"""Handling a notification: enriching what is due, for one turn.

Enriching itself belongs to `enrichment`, the processes that handle messages to `worker`.
"""

import logging
from collections.abc import Callable, Sequence

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.masked import masked_line
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import first_line, is_store_failure
from enrichment_pipeline.store.database.outages import wait_for_store
from enrichment_pipeline.wording import counted

TURN_SECONDS = 5.0
"""The length of a turn: then a worker that finds more and more due notifies any free worker, and
takes its next message, or stops if it was asked to."""

OUTAGE_SECONDS = 60.0
"""How long a message is kept while the store is unreachable. Then a new message replaces it: the
broker would deliver one that is kept too long again, up to the limit on deliveries."""

logger = logging.getLogger(__name__)

Notify = Callable[[Sequence[int]], None]


def handle(store: Store, rules: Rules, batches: Sequence[int], notify: Notify) -> None:
    """Enrich what is due, these batches among it; where more is left after a turn, notify again.

    A batch that is not due any more was enriched by another process, or waits after a failure; a
    message may come late, twice, or for nothing.

    Raises:
        Exception: our own code failed. The batches are still due.
    """
    try:
        report = enrich_due(store, rules, most_seconds=TURN_SECONDS)
    except Exception as error:
        if not is_store_failure(error):
            raise
        _wait(store, error)
        notify(batches)
        return
    for failure in report.failures:
        logger.warning("batch %d: %s", failure.batch, masked_line(failure.message))
    if report.events:
        logger.info("%s in %.3f s", counted(report.events, "event"), report.seconds)
    if report.is_unfinished:
        notify(batches)


def _wait(store: Store, error: Exception) -> None:
    try:
        wait_for_store(store, error, OUTAGE_SECONDS)
    except Exception as still:
        if not is_store_failure(still):
            raise
        logger.warning("PostgreSQL is still away: %s", first_line(still))
