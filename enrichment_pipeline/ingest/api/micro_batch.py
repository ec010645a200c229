"""Micro-batches: concurrent requests share commits; and the memory that requests may take.

A commit costs the same for one event as for a hundred, so requests that come while one is under way
share the next. The commit itself belongs to `accept`.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from enrichment_pipeline.ingest.api.accept import Accepted, Submission, Verdicts

LINGER_SECONDS = 0.001
"""A commit waits so long for more requests."""

MOST_EVENTS = 5_000
"""Events in one commit: more gain no speed, and all requests wait for the slowest."""

SHARED_EVENTS = 16
"""More events than this are shared out to all free writers. Otherwise the first writer takes them
all, and while all senders wait for their responses, the others are idle: half the speed. A commit
by itself costs as much as so many events."""

MOST_BYTES = 16 * 1024 * 1024
"""Bytes in one commit; a larger request is committed alone."""


CLOSE_SECONDS = 10
"""How long a stop waits for queued submissions."""


class OverloadedError(Exception):
    """There is no memory for another request, which should be sent again later."""


class Budget:
    """The bytes that all requests under way may take together."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken = 0

    @property
    def taken(self) -> int:
        """The bytes that requests take."""
        return self._taken

    def take(self, size: int) -> None:
        """Take `size` more bytes.

        Raises:
            OverloadedError: fewer bytes are left.
        """
        if self._taken + size > self.most:
            raise OverloadedError
        self._taken += size

    def give_back(self, size: int) -> None:
        """Give back some of the bytes."""
        self._taken -= size


class Reservation:
    """What one request has taken of the budget; it grows as the request is read."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._taken = 0

    def add(self, size: int) -> None:
        """Take `size` more bytes.

        Raises:
            OverloadedError: fewer bytes are left.
        """
        self._budget.take(size)
        self._taken += size

    def give_back(self, size: int) -> None:
        """Give back some of the bytes."""
        self._budget.give_back(size)
        self._taken -= size

    def release(self) -> None:
        """Give all bytes back."""
        self._budget.give_back(self._taken)
        self._taken = 0


class _Waiting(NamedTuple):
    submission: Submission
    future: asyncio.Future[Verdicts]
    done: Callable[[], object]


class MicroBatcher:
    """Commits submissions in groups, each of one origin, `at_once` groups at a time: the next is
    parsed while PostgreSQL writes one.

    `commit` takes a group in and returns what became of it; an exception that it raises goes to
    every request of that group.
    """

    def __init__(
        self, commit: Callable[[Sequence[Submission]], Awaitable[Accepted]], at_once: int
    ) -> None:
        self._commit = commit
        self._at_once = at_once
        self._waiting: deque[_Waiting] = deque()
        self._work = asyncio.Event()
        self._free = at_once
        self._writers: list[asyncio.Task[None]] = []
        self._closing = False
        self.waiting_events = 0
        """Events that no commit has begun with."""

    def start(self) -> None:
        """Begin to commit, in the running event loop."""
        self._writers = [asyncio.create_task(self._run()) for _ in range(self._at_once)]

    def submit(
        self, submission: Submission, done: Callable[[], object] = lambda: None
    ) -> asyncio.Future[Verdicts]:
        """Queue a submission; the future is done once its commit is, and `done` is called then.

        The caller may stop waiting, and cancel the future or end it otherwise: the commit is
        shared, and goes on.
        """
        waiting = _Waiting(submission, asyncio.get_running_loop().create_future(), done)
        self._waiting.append(waiting)
        self.waiting_events += len(submission.payloads)
        self._work.set()
        return waiting.future

    async def close(self) -> None:
        """Commit what is queued, then stop. What is not committed within some seconds is left: no
        response was sent, so the sender still has the events."""
        self._closing = True
        self._work.set()
        _, hanging = await asyncio.wait(self._writers, timeout=CLOSE_SECONDS)
        for writer in hanging:
            writer.cancel()

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            if self._waiting and self.waiting_events < MOST_EVENTS and not self._closing:
                await asyncio.sleep(LINGER_SECONDS)
            if group := self._next_group():
                self._free -= 1
                await self._commit_group(group)
                self._free += 1
            elif self._closing:
                return
            else:
                self._work.clear()

    def _next_group(self) -> list[_Waiting]:
        """The next submissions of one origin: as many as one free writer should take."""
        group: list[_Waiting] = []
        passed_over: list[_Waiting] = []
        events, size = 0, 0
        share = max(SHARED_EVENTS, self.waiting_events // self._free)
        while self._waiting and events < min(share, MOST_EVENTS) and size < MOST_BYTES:
            waiting = self._waiting.popleft()
            submission = waiting.submission
            if group and submission.origin != group[0].submission.origin:
                passed_over.append(waiting)
                continue
            group.append(waiting)
            events += len(submission.payloads)
            size += sum(map(len, submission.payloads))
        self._waiting.extendleft(reversed(passed_over))
        self.waiting_events -= events
        return group

    async def _commit_group(self, group: Sequence[_Waiting]) -> None:
        try:
            accepted = await self._commit([waiting.submission for waiting in group])
        except Exception as error:  # noqa: BLE001  raised to those who wait
            for waiting in group:
                waiting.done()
                if not waiting.future.done():
                    waiting.future.set_exception(error)
            return
        for waiting, verdicts in zip(group, accepted.verdicts, strict=True):
            waiting.done()
            if not waiting.future.done():
                waiting.future.set_result(verdicts)
