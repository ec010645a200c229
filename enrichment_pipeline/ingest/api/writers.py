"""The writers: processes that commit, so that the process that speaks HTTP stays free.

The commit itself belongs to `accept`, grouping submissions to `micro_batch`.
"""

import asyncio
import logging
import pickle
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Protocol
from weakref import finalize

import msgspec

from enrichment_pipeline.events.masked import masked_line, masked_traceback
from enrichment_pipeline.ingest.api.accept import Accepted, Submission, accept
from enrichment_pipeline.ingest.processes import begin_process, process_store, started_process
from enrichment_pipeline.settings import Settings
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import (
    StoreError,
    StoreUnavailableError,
    first_line,
    is_store_failure,
)

COMMIT_SECONDS = 60
"""Seconds after which a commit is given up: the other end of its connection may be gone without any
error."""

_CLOSE_SECONDS = 5
_LENGTH_BYTES = 8

# Pickling a submission takes thirty times as long.
_encode: Callable[[Sequence[Submission]], bytes] = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], list[Submission]] = msgspec.msgpack.Decoder(list[Submission]).decode

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
        self._free = [self._started() for _ in range(self.count)]

    async def commit(self, group: Sequence[Submission]) -> Accepted:
        """Take a group in.

        Raises:
            StoreUnavailableError: the store failed or hangs, or the process died; sending again
                helps.
            CommitError: the events could not be taken, and the store is not to blame.
        """
        writer = self._free.pop()
        try:
            return await asyncio.wait_for(writer.commit(group), COMMIT_SECONDS)
        except (TimeoutError, EOFError, OSError) as error:
            writer.kill()
            writer = self._started()
            hangs = isinstance(error, TimeoutError)
            why = f"takes more than {COMMIT_SECONDS} seconds" if hangs else "ended with its process"
            raise StoreUnavailableError(f"a commit {why}") from error
        finally:
            self._free.append(writer)

    def close(self) -> None:
        """End the processes; a process that is still working after a few seconds is killed."""
        for writer in self._free:
            writer.stop()
        deadline = monotonic() + _CLOSE_SECONDS
        for writer in self._free:
            writer.join(deadline - monotonic())

    def _started(self) -> "_Writer":
        return _Process(self._store.settings) if self._processes else _Thread(self._store)


class _Writer(Protocol):
    """What commits one group at a time."""

    async def commit(self, group: Sequence[Submission]) -> Accepted:
        """As `Writers.commit`; EOFError or OSError where the process has died."""

    def stop(self) -> None:
        """Ask it to end after what it is doing."""

    def join(self, seconds: float) -> None:
        """Wait for its end at most so long, then kill it."""

    def kill(self) -> None:
        """End it at once."""


class _Thread:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._executor = ThreadPoolExecutor(1, "commit")

    async def commit(self, group: Sequence[Submission]) -> Accepted:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, _commit, self._store, group)

    def stop(self) -> None:
        self._executor.shutdown(wait=False)

    def join(self, _: float) -> None:
        self._executor.shutdown()

    def kill(self) -> None:
        self.stop()


class _Process:
    """A process at the other end of a socket. Each message stands behind its length."""

    # Not a pool of `concurrent.futures`: its two threads and their queues take as long as all else
    # that the process that speaks HTTP does for a request with one event.

    def __init__(self, settings: Settings) -> None:
        self._socket, other_end = socket.socketpair()
        self._socket.setblocking(False)
        with other_end:
            self._process = started_process(_run, settings, other_end)
        # Also where nobody calls `stop`: Python waits at its exit for processes that it started.
        self._hang_up = finalize(self, self._socket.close)
        self._is_answering = False

    async def commit(self, group: Sequence[Submission]) -> Accepted:
        if self._is_answering:
            raise EOFError("the commit before was abandoned")
        self._is_answering = True
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, _framed(_encode(group)))
        length = int.from_bytes(await self._exactly(_LENGTH_BYTES))
        answer: Accepted | Exception = pickle.loads(await self._exactly(length))  # noqa: S301  ours
        self._is_answering = False
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _exactly(self, size: int) -> bytearray:
        loop = asyncio.get_running_loop()
        content = bytearray(size)
        rest = memoryview(content)
        while rest:
            read = await loop.sock_recv_into(self._socket, rest)
            if not read:
                raise EOFError("the process has ended")
            rest = rest[read:]
        return content

    def stop(self) -> None:
        self._hang_up()

    def join(self, seconds: float) -> None:
        self._process.join(max(0.0, seconds))
        self.kill()

    def kill(self) -> None:
        self._hang_up()
        self._process.kill()
        self._process.join()


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(_LENGTH_BYTES) + content


def _run(settings: Settings, connection: socket.socket) -> None:
    """What a process does until the other end of its socket is closed."""
    begin_process(settings)
    try:
        process_store()
    except StoreError as error:
        logger.warning("%s; it is tried again with the first commit", first_line(error))
    # A lost connection: nobody waits for the answer any more.
    with connection, connection.makefile("rb") as requests, suppress(ConnectionError):
        while length := int.from_bytes(requests.read(_LENGTH_BYTES)):
            answer = _answer(_decode(requests.read(length)))
            connection.sendall(_framed(pickle.dumps(answer)))


def _answer(group: Sequence[Submission]) -> Accepted | Exception:
    try:
        return _commit(process_store(), group)
    except (StoreError, CommitError) as error:
        return error


def _commit(store: Store, group: Sequence[Submission]) -> Accepted:
    try:
        return accept(store, group)
    except Exception as error:  # noqa: BLE001  it is logged, and raised as another
        # Raised as errors that another process can unpickle.
        if is_store_failure(error):
            raise StoreUnavailableError(first_line(error)) from None
        logger.error("events could not be taken\n%s", masked_traceback(error))  # noqa: TRY400  masked
        raise CommitError(f"{type(error).__name__}: {masked_line(first_line(error))}") from None
