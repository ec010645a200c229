"""The sandbox: a child process in which our code works on data, with limits on time and memory.

The process that holds a transaction runs SQL alone, so no event can kill it. This module sends work
to the child and judges the results; what runs in the child belongs to `derive`, the child's side to
`sandbox_child`.
"""

import atexit
import os
import pickle
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from queue import LifoQueue
from time import monotonic
from typing import IO, Any, NamedTuple, TypeVar, TypeVarTuple, cast

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

ITEM_SECONDS = 10.0
"""Seconds for one item, which usually takes 60 µs."""

START_SECONDS = 60.0
"""Seconds for the child to start on a busy machine."""

MEMORY = 512 * 1024**2
"""Bytes that the child may use beyond those it starts with."""

SANDBOXES = 2
"""The children that a process may have; the second is started once two are in use."""

_CHUNK = 500
"""Items of one request: more would not be faster."""

_PROGRESS_BYTES = 8


class SandboxError(Exception):
    """The child process cannot be started."""


class FaultKind(StrEnum):
    """How an item failed."""

    RAISED = "raised"
    OUT_OF_MEMORY = "out of memory"
    TIMED_OUT = "timed out"
    CRASHED = "crashed"


class Fault(NamedTuple):
    """Why there is no result for an item."""

    kind: FaultKind
    message: str
    """The failure in one line."""
    traceback: str | None = None
    error: str | None = None
    """The class name of the exception, where our code may be at fault as well."""


class _NoAnswerError(Exception):
    """The child died, or an item took too long."""

    def __init__(self, fault: Fault, number: int, *, for_sure: bool) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.number = number
        """The item's index in the request."""
        self.for_sure = for_sure
        """Whether this item is at fault, and not an earlier one."""


class Sandbox:
    """A child process, started when it is needed and restarted after it died; for one thread."""

    def __init__(self, item_seconds: float = ITEM_SECONDS, memory: int = MEMORY) -> None:
        self._item_seconds = item_seconds
        self._memory = memory
        self._child: subprocess.Popen[bytes] | None = None
        # The child writes here how many items it has begun: if it dies, the last one is at fault.
        self._progress = tempfile.TemporaryFile(prefix="sandbox-")  # noqa: SIM115  as long as this lives
        self._function: bytes | None = None
        self._done = 0
        """How many items this child has been given."""

    def run(
        self,
        function: Callable[[*Arguments], Result],
        items: Sequence[tuple[*Arguments]],
    ) -> list[Result | Fault]:
        """The function's result for each item's arguments, in order; a fault for an item that
        raises, kills or hangs the child, or exceeds the memory limit. Everything is sent as pickle.

        Raises:
            SandboxError: the child cannot be started.
        """
        wanted = pickle.dumps(function)
        results: list[Any] = []
        for start in range(0, len(items), _CHUNK):
            results += self._results(wanted, items[start : start + _CHUNK])
        return results

    def _results(self, function: bytes, items: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The results of one request. If the child ends within it, the item at which it did gets a
        fault (or is tried alone), and the items before and after it are sent again."""
        if not items:
            return []
        try:
            answer = self._ask(function, items)
        except _NoAnswerError as end:
            number = end.number
            result = end.fault if end.for_sure else self._alone(function, items[number])
            before = self._results(function, items[:number])
            return [*before, result, *self._results(function, items[number + 1 :])]
        if self._done > 1:
            # Earlier items may have used the memory.
            for number, result in enumerate(answer):
                if isinstance(result, Fault) and result.kind is FaultKind.OUT_OF_MEMORY:
                    answer[number] = self._alone(function, items[number])
        return answer

    def _alone(self, function: bytes, item: tuple[Any, ...]) -> Any:
        """The result of an item in a fresh child."""
        self.stop()
        try:
            [result] = self._ask(function, [item])
        except _NoAnswerError as end:
            return end.fault
        return result

    def _ask(self, function: bytes, items: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Send one request and wait for its response; raises _NoAnswerError if the child ends."""
        child = self._started()
        before, self._done = self._done, self._done + len(items)
        try:
            _send(child, (None if function == self._function else function, items))
            self._function = function
            answer = self._receive(child, before)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            begun = self._begun()
            slow = isinstance(error, TimeoutError)
            how = f"took longer than {self._item_seconds:g} s" if slow else ""
            ended = _how_it_ended(self.stop())
            if begun == before:
                if before:
                    # The child ended between two requests.
                    return self._ask(function, items)
                raise SandboxError(f"the sandbox's process {how or ended} as it started") from error
            if slow:
                fault = Fault(FaultKind.TIMED_OUT, how)
            else:
                fault = Fault(FaultKind.CRASHED, f"the process that derived it {ended}")
            for_sure = slow or begun == 1
            raise _NoAnswerError(fault, begun - before - 1, for_sure=for_sure) from None
        except BaseException:
            # The next request must not get this response.
            self.stop()
            raise
        return [Fault(FaultKind(one[0]), *one[1:]) if failed else one for failed, one in answer]

    def _receive(self, child: subprocess.Popen[bytes], before: int) -> Any:
        """Wait for the response for as long as the child makes progress."""
        stream = cast("IO[bytes]", child.stdout)
        begun, since = before, monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while not selector.select(self._item_seconds / 4):
                now_begun = self._begun()
                # Imports for the first item take longer than any item.
                most = START_SECONDS if now_begun == before else self._item_seconds
                if now_begun != begun:
                    begun, since = now_begun, monotonic()
                elif monotonic() - since >= most:
                    raise TimeoutError
        return pickle.load(stream)  # noqa: S301  from our own child

    def _begun(self) -> int:
        """How many items this child has begun."""
        return int.from_bytes(os.pread(self._progress.fileno(), _PROGRESS_BYTES, 0), "little")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None:
            return self._child
        progress = self._progress.fileno()
        os.pwrite(progress, bytes(_PROGRESS_BYTES), 0)
        child = subprocess.Popen(
            [sys.executable, "-m", "enrichment_pipeline.enrichment.sandbox_child", str(progress)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[progress],
            # Ctrl-C is for the parent, which ends this one.
            process_group=0,
        )
        self._child = child
        try:
            _send(child, (sys.path, self._item_seconds, self._memory))
            _await_start(child)
        except (EOFError, OSError) as error:
            how = _how_it_ended(self.stop())
            raise SandboxError(f"the sandbox's process {how} as it started") from error
        return child

    def stop(self) -> int:
        """End the child; returns its exit status."""
        child, self._child, self._function, self._done = self._child, None, None, 0
        if child is None:
            return 0
        for stream in (child.stdin, child.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:
                    # Data that were not sent to a dead child cannot be flushed.
                    continue
        try:
            # A child that died by itself has its status; one that hangs has to be killed.
            return child.wait(0.2)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


# By process: a forked one must not talk to its parent's children.
_free: dict[int, LifoQueue[Sandbox]] = {}


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    """A sandbox of this process that no other thread uses; there are `SANDBOXES`."""
    free = _free.get(os.getpid()) or _free.setdefault(os.getpid(), _new_sandboxes())
    # The one that was used last: its child runs, another's has to be started.
    found = free.get()
    try:
        yield found
    finally:
        free.put(found)


def _new_sandboxes() -> LifoQueue[Sandbox]:
    free: LifoQueue[Sandbox] = LifoQueue()
    for _ in range(SANDBOXES):
        new = Sandbox()
        atexit.register(new.stop)
        free.put(new)
    return free


def _how_it_ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with {code}"


def _send(child: subprocess.Popen[bytes], value: object) -> None:
    stream = cast("IO[bytes]", child.stdin)
    pickle.dump(value, stream, pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _await_start(child: subprocess.Popen[bytes]) -> None:
    stream = cast("IO[bytes]", child.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        if not selector.select(START_SECONDS):
            raise TimeoutError
    if not stream.read(1):
        raise EOFError
