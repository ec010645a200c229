"""Where commits are made: in processes of their own, so that the one that speaks HTTP stays free.

What a commit does belongs to `accept`, which submissions it is made of to `micro_batch`.
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
"""A commit that takes longer is given up: its connection may be one at whose other end nobody is
any more, and nothing ever says so."""

_CLOSE_SECONDS = 5

logger = logging.getLogger(__name__)


class CommitError(Exception):
    """Events could not be taken, and the store is not to blame; the message says why."""


class Writers:
    """So many processes that take groups of submissions in, or threads of this process where there
    are none."""

    def __init__(self, store: Store, processes: int) -> None:
        self._store = store
        self._processes = processes
        self.count = processes or 2
        """Commits that are made at once; there may be no more."""
        # A pool for each, so that one that dies or hangs takes no other along.
        self._free = [self._started() for _ in range(self.count)]

    async def commit(self, group: Sequence[Submission]) -> Accepted:
        """Take a group in.

        Raises:
            StoreUnavailableError: the store failed or hangs, or the process died; sending again
                helps.
            CommitError: see there.
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
        # Where it is given up, nobody looks at how it ends.
        commit.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({commit}, timeout=COMMIT_SECONDS)
        if not commit.done():
            raise _HangsError(f"a commit takes more than {COMMIT_SECONDS} seconds")
        return commit.result()

    def close(self) -> None:
        """End the processes; whichever is still at work after a few seconds is killed."""
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
            # A process is started by the first work.
            pool.submit(_connect)
        return pool


class _HangsError(Exception):
    """A commit does not end."""


def _processes_of(executor: Executor) -> Sequence[BaseProcess]:
    # Nothing else knows them before Python 3.14, and what hangs has to be killed.
    running = executor._processes if isinstance(executor, ProcessPoolExecutor) else None
    return list((running or {}).values())


def _still_there(processes: Iterable[BaseProcess], seconds: float) -> Sequence[BaseProcess]:
    """Those of the processes that have not ended within so many seconds."""
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
        # As errors that another process can read.
        if is_store_failure(error):
            raise StoreUnavailableError(first_line(error)) from None
        logger.error("events could not be taken\n%s", masked_traceback(error))  # noqa: TRY400  masked
        raise CommitError(f"{type(error).__name__}: {masked_line(first_line(error))}") from None
