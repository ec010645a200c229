"""Handling a notification: enriching what is due, for one turn.

How that is done belongs to `enrichment`; which process does it, to `worker`.
"""

import logging
from collections.abc import Callable, Sequence

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.path import enrich_due
from enrichment_pipeline.events.masked import masked_line
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import first_line, is_store_failure
from enrichment_pipeline.store.database.outages import wait_for_store

TURN_SECONDS = 5.0
"""After which a worker that finds more and more notifies whoever is free, and takes the next
message: one that is asked to stop does so then."""

OUTAGE_SECONDS = 60.0
"""How long a message is kept while the store is away. Then a new one takes its place: one that is
kept too long is given to another worker, and that often it must not be delivered."""

logger = logging.getLogger(__name__)

Notify = Callable[[Sequence[int]], None]


def handle(store: Store, rules: Rules, batches: Sequence[int], notify: Notify) -> None:
    """Enrich what is due, these batches among it; where more is left after a turn, notify again.

    A batch that is not due any more was enriched by somebody else, or waits after a failure; a
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
        logger.info("%d events in %.3f s", report.events, report.seconds)
    if report.is_unfinished:
        notify(batches)


def _wait(store: Store, error: Exception) -> None:
    try:
        wait_for_store(store, error, OUTAGE_SECONDS)
    except Exception as still:
        if not is_store_failure(still):
            raise
        logger.warning("PostgreSQL is still away: %s", first_line(still))
