"""Micro-batches: requests in one commit, and the memory that requests may take."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from enrichment_pipeline.events.raw_event import Arrival
from enrichment_pipeline.ingest.api import micro_batch
from enrichment_pipeline.ingest.api.accept import Accepted, Origin, Submission, Verdicts
from enrichment_pipeline.ingest.api.micro_batch import (
    SHARED_EVENTS,
    Budget,
    MicroBatcher,
    OverloadedError,
    Reservation,
)
from enrichment_pipeline.store.ingest.load import LoadResult

AT_ONCE = 2

LIVE, OLD = Origin("api"), Origin("api", historical=True)


def submission(kind: Origin = LIVE, events: int = 1) -> Submission:
    return Submission(kind, "shop", [b"{}"] * events, Arrival(datetime.now(UTC)))


class Commits:
    """Commits that wait until they may go on, and remember their groups."""

    def __init__(self) -> None:
        self.groups: list[Sequence[Submission]] = []
        self.may_go_on = threading.Event()
        self.begun = threading.Semaphore(0)

    async def __call__(self, group: Sequence[Submission]) -> Accepted:
        self.groups.append(group)
        self.begun.release()
        assert await asyncio.to_thread(self.may_go_on.wait, 20)
        return Accepted([[None] * len(one.payloads) for one in group], LoadResult(0, 0, Counter()))


def run(test: Callable[[MicroBatcher, Commits], object]) -> Commits:
    """Run a test in an event loop, with a batcher that is closed afterwards."""
    commits = Commits()

    async def main() -> None:
        batcher = MicroBatcher(commits, AT_ONCE)
        batcher.start()
        await test(batcher, commits)  # type: ignore[misc]
        commits.may_go_on.set()
        await batcher.close()

    asyncio.run(main())
    return commits


def test_what_comes_together_shares_a_commit() -> None:
    async def test(batcher: MicroBatcher, commits: Commits) -> None:
        commits.may_go_on.set()
        futures = [batcher.submit(submission(events=2)) for _ in range(SHARED_EVENTS // 2)]
        assert await asyncio.gather(*futures) == [[None, None]] * (SHARED_EVENTS // 2)

    assert [len(group) for group in run(test).groups] == [SHARED_EVENTS // 2]


def test_much_that_comes_together_is_shared_out_to_the_free_writers() -> None:
    async def test(batcher: MicroBatcher, commits: Commits) -> None:
        commits.may_go_on.set()
        await asyncio.gather(*(batcher.submit(submission(events=SHARED_EVENTS)) for _ in range(8)))

    assert [len(group) for group in run(test).groups] == [8 // AT_ONCE] * AT_ONCE


def test_a_commit_waits_a_moment_for_more_requests_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test(batcher: MicroBatcher, commits: Commits) -> None:
        commits.may_go_on.set()
        more: list[asyncio.Future[Verdicts]] = []

        async def until_one_more_comes(_: float) -> None:
            more.append(batcher.submit(submission()))

        monkeypatch.setattr(asyncio, "sleep", until_one_more_comes)
        await batcher.submit(submission())
        await asyncio.gather(*more)

    assert [len(group) for group in run(test).groups] == [2]


def test_what_comes_during_commits_shares_the_next() -> None:
    async def test(batcher: MicroBatcher, commits: Commits) -> None:
        for _ in range(AT_ONCE):
            batcher.submit(submission())
            await asyncio.to_thread(commits.begun.acquire)
        waiting = [batcher.submit(submission()) for _ in range(30)]
        assert batcher.waiting_events == 30
        commits.may_go_on.set()
        await asyncio.gather(*waiting)

    first, *rest = run(test).groups[AT_ONCE:]
    # The writer that is free first takes them all, or the second gets a share.
    assert len(first) >= 30 // AT_ONCE
    assert sum(map(len, [first, *rest])) == 30


def test_live_and_historical_events_never_share_a_commit_and_none_is_left_out() -> None:
    async def test(batcher: MicroBatcher, commits: Commits) -> None:
        commits.may_go_on.set()
        futures = [batcher.submit(submission((LIVE, OLD)[n % 3 == 0])) for n in range(60)]
        await asyncio.gather(*futures)

    groups = run(test).groups
    assert all(len({one.origin for one in group}) == 1 for group in groups)
    assert sum(map(len, groups)) == 60


def test_who_hangs_up_does_not_cancel_the_commit_that_others_share() -> None:
    async def test(batcher: MicroBatcher, commits: Commits) -> None:
        async def request() -> None:
            await asyncio.wait({batcher.submit(submission())})

        gone, stays = asyncio.create_task(request()), asyncio.create_task(request())
        await asyncio.to_thread(commits.begun.acquire)
        gone.cancel()
        commits.may_go_on.set()
        await asyncio.wait_for(stays, 20)
        assert gone.cancelled()

    assert [len(group) for group in run(test).groups] == [2]


def test_a_failure_is_reported_to_everybody_who_shares_it_and_to_nobody_else() -> None:
    async def main() -> None:
        async def commit(group: Sequence[Submission]) -> Accepted:
            if group[0].origin is OLD:
                raise ZeroDivisionError
            return Accepted([[None] for _ in group], LoadResult(0, 0, Counter()))

        batcher = MicroBatcher(commit, AT_ONCE)
        batcher.start()
        futures = [batcher.submit(submission(kind)) for kind in (OLD, LIVE, OLD, LIVE)]
        found = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(one) for one in found] == [ZeroDivisionError, list, ZeroDivisionError, list]
        await batcher.close()

    asyncio.run(main())


def test_closing_commits_what_is_queued() -> None:
    async def test(batcher: MicroBatcher, commits: Commits) -> None:
        for _ in range(10):
            batcher.submit(submission())

    assert sum(map(len, run(test).groups)) == 10


def test_closing_does_not_wait_for_ever_for_a_commit_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(micro_batch, "CLOSE_SECONDS", 0.1)

    async def test() -> None:
        async def commit(_: Sequence[Submission]) -> Accepted:
            await asyncio.Event().wait()
            raise AssertionError

        batcher = MicroBatcher(commit, AT_ONCE)
        batcher.start()
        waiting = batcher.submit(submission())
        await asyncio.wait_for(batcher.close(), 20)
        assert not waiting.done()

    asyncio.run(test())


def test_reservations_share_one_budget_and_give_all_of_it_back() -> None:
    budget = Budget(100)
    first, second = Reservation(budget), Reservation(budget)
    first.add(60)
    second.add(40)
    with pytest.raises(OverloadedError):
        second.add(1)
    first.release()
    first.release()
    second.add(60)
    second.release()
    assert budget.taken == 0
