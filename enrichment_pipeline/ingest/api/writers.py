"""The writers: processes that commit, so that the process that speaks HTTP stays free.

The commit itself belongs to `accept`, grouping submissions to `micro_batch`.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

from enrichment_pipeline.events.masked import masked_line, masked_traceback
from enrichment_pipeline.ingest.api.accept import Accepted, Submission, accept
from enrichment_pipeline.ingest.processes import process_pool, process_store, sigint_blocked
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import (
    StoreUnavailableError,
    first_line,
    is_store_failure,
)

COMMIT_SECONDS = 60
"""Seconds after which a commit is given up: the other end of its connection may be gone without any
error."""

_CLOSE_SECONDS = 5

logger = logging.getLogger(__name__)


class CommitError(Exception):
    """Events could not be taken, and the store is not to blame; the message says why."""


class Writers:
    """As many processes as `processes` says, which take groups of submissions in; with 0, threads
    of this process."""

    def __init__(self, store: Store, processes: int) -> None:
        self._store = store
        self._processes = processes
        self.count = processes or 2
        """The most commits at the same time."""
        # A pool for each writer, so that one that dies or hangs does not take others along.
        self._free = [self._started() for _ in range(self.count)]

    async def commit(self, group: Sequence[Submission]) -> Accepted:
        """Take a group in.

        Raises:
            StoreUnavailableError: the store failed or hangs, or the process died; sending again
                helps.
            CommitError: the events could not be taken, and the store is not to blame.
        """
        executor = self._free.pop()
        try:
            return await self._commit_by(executor, group)
        except (BrokenProcessPool, _HangsError) as error:
            _kill(_processes_of(executor))
            executor.shutdown(wait=False)
            executor = self._started()
            raise StoreUnavailableError(str(error)) from error
        finally:
            self._free.append(executor)

    async def _commit_by(self, executor: Executor, group: Sequence[Submission]) -> Accepted:
        loop = asyncio.get_running_loop()
        if self._processes:
            commit = loop.run_in_executor(executor, _commit_in_process, group)
        else:
            commit = loop.run_in_executor(executor, _commit, self._store, group)
        # Marks the exception as retrieved: nobody waits for a commit that was given up.
        commit.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({commit}, timeout=COMMIT_SECONDS)
        if not commit.done():
            raise _HangsError(f"a commit takes more than {COMMIT_SECONDS} seconds")
        return commit.result()

    def close(self) -> None:
        """End the processes; a process that is still working after a few seconds is killed."""
        processes = [process for executor in self._free for process in _processes_of(executor)]
        for executor in self._free:
            executor.shutdown(wait=False)
        _kill(_still_there(processes, _CLOSE_SECONDS))
        for executor in self._free:
            executor.shutdown()

    def _started(self) -> Executor:
        if not self._processes:
            return ThreadPoolExecutor(1, "commit")
        pool = process_pool(self._store.settings, 1)
        with sigint_blocked(signal.SIGTERM):
            # A pool starts its process with the first task.
            pool.submit(_connect)
        return pool


class _HangsError(Exception):
    """A commit does not end."""


def _processes_of(executor: Executor) -> Sequence[BaseProcess]:
    # Before Python 3.14 no public attribute has the processes, and hanging ones must be killed.
    running = executor._processes if isinstance(executor, ProcessPoolExecutor) else None
    return list((running or {}).values())


def _still_there(processes: Iterable[BaseProcess], seconds: float) -> Sequence[BaseProcess]:
    """The processes that have not ended within `seconds`."""
    left = {process.sentinel: process for process in processes}
    deadline = time.monotonic() + seconds
    while left and (remaining := deadline - time.monotonic()) > 0:
        for ended in wait(list(left), remaining):
            del left[ended]  # type: ignore[arg-type]
    return list(left.values())


def _kill(processes: Iterable[BaseProcess]) -> None:
    for process in processes:
        process.kill()


def _connect() -> None:
    process_store()


def _commit_in_process(group: Sequence[Submission]) -> Accepted:
    return _commit(process_store(), group)


def _commit(store: Store, group: Sequence[Submission]) -> Accepted:
    try:
        return accept(store, group)
    except Exception as error:  # noqa: BLE001  it is logged, and raised as another
        # Raised as errors that another process can unpickle.
        if is_store_failure(error):
            raise StoreUnavailableError(first_line(error)) from None
        logger.error("events could not be taken\n%s", masked_traceback(error))  # noqa: TRY400  masked
        raise CommitError(f"{type(error).__name__}: {masked_line(first_line(error))}") from None
