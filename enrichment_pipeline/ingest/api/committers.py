"""Where commits are made: in processes of their own, so that the one that speaks HTTP stays free.

What a commit does belongs to `accept`, which submissions it is made of to `gather`.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from enrichment_pipeline.ingest.api.accept import Accepted, Submission, accept
from enrichment_pipeline.ingest.processes import process_pool, process_store, sigint_blocked
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.errors import StoreUnavailableError, first_line, is_store_failure

logger = logging.getLogger(__name__)


class CommitError(Exception):
    """Events could not be taken, and the store is not to blame; the message says why."""


class Committers:
    """So many processes that take groups of submissions in; with none, threads of this process do,
    which is as good on one core."""

    def __init__(self, store: Store, processes: int) -> None:
        self._store = store
        self._processes = processes
        self.count = processes or 2
        """Commits that are made at once."""
        self._executor = self._started()

    async def commit(self, group: Sequence[Submission]) -> Accepted:
        """Take a group in.

        Raises:
            StoreUnavailableError: the store failed, or the process died; sending again helps.
            CommitError: see there.
        """
        executor = self._executor
        loop = asyncio.get_running_loop()
        try:
            if self._processes:
                return await loop.run_in_executor(executor, _commit_in_process, group)
            return await loop.run_in_executor(executor, _commit, self._store, group)
        except BrokenProcessPool as error:
            if self._executor is executor:  # whoever shares the loss has not replaced it yet
                self._executor = self._started()
            raise StoreUnavailableError("a process that takes events died") from error

    def close(self) -> None:
        """End the processes; nothing may be under way."""
        self._executor.shutdown()

    def _started(self) -> Executor:
        if not self._processes:
            return ThreadPoolExecutor(self.count, "commit")
        pool = process_pool(self._store.settings, self._processes)
        with sigint_blocked():
            # Each is started by work that finds no other one free.
            for _ in range(self._processes):
                pool.submit(process_store)
        return pool


def _commit_in_process(group: Sequence[Submission]) -> Accepted:
    return _commit(process_store(), group)


def _commit(store: Store, group: Sequence[Submission]) -> Accepted:
    try:
        return accept(store, group)
    except Exception as error:
        # As errors that another process can read.
        if is_store_failure(error):
            raise StoreUnavailableError(first_line(error)) from None
        logger.exception("events could not be taken")
        raise CommitError(f"{type(error).__name__}: {first_line(error)}") from None
