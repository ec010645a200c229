"""A prefetch: what the next claim needs is derived while PostgreSQL writes this one.

It reports nothing about events. What it cannot derive, the claim itself tries again, and reports.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future

from sqlalchemy import Connection

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.derive import output_version
from enrichment_pipeline.enrichment.deriving import derive_missing
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import kind_of
from enrichment_pipeline.store.queue.claims import Batch
from enrichment_pipeline.store.queue.enriched import missing_inputs, plan_claim

logger = logging.getLogger(__name__)


class Prefetch:
    """Derives for the next claim, in a thread of `threads`."""

    def __init__(
        self,
        threads: Executor,
        store: Store,
        rules: Rules,
        next_claim: Callable[[Connection], Sequence[Batch]],
    ) -> None:
        """`next_claim` claims as the next claim will."""
        self._threads = threads
        self._store = store
        self._rules = rules
        self._next_claim = next_claim
        self._derived: Future[bool] | None = None

    def begin(self) -> None:
        """Begin, while this claim is held, unless it has begun already."""
        if self._derived is None:
            self._derived = self._threads.submit(self._derive)

    def wait(self) -> bool:
        """Wait until it is done, if it has begun; returns whether anything was missing."""
        derived, self._derived = self._derived, None
        return derived is not None and derived.result()

    def _derive(self) -> bool:
        try:
            # At once given back, for other workers pass over what is claimed.
            with self._store.transaction() as connection:
                batches = self._next_claim(connection)
            if not batches:
                return False
            version = output_version(self._rules)
            with self._store.transaction() as connection:
                plan_claim(connection, batches)
                keys = missing_inputs(connection, batches, self._store.window, version)
            derive_missing(self._store, keys, self._rules)
        except Exception as error:  # noqa: BLE001  the claim meets it again, and knows what to do
            logger.warning("nothing was derived for the next claim: %s", kind_of(error))
            return False
        return bool(keys)
