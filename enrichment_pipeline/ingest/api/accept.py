"""From submissions to durable events: they are parsed, broken ones are quarantined, and the others
are taken in with one commit.

Grouping submissions belongs to `micro_batch`, storing events to `store.ingest.load`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from weakref import WeakSet

import msgspec
from sqlalchemy import Engine

from enrichment_pipeline.events.raw_event import (
    Arrival,
    EventRejectedError,
    RawEvent,
    RejectedEvent,
    RejectionReason,
    parse_event,
    reject,
)
from enrichment_pipeline.events.uuids import time_uuid
from enrichment_pipeline.store.database.engine import Store
from enrichment_pipeline.store.database.errors import (
    blames_data,
    driver_error,
    first_line,
    is_store_failure,
)
from enrichment_pipeline.store.ingest.load import Key, LoadResult, load_events
from enrichment_pipeline.store.windows.limits import oldest_possible_start

# Events of one group that may be at fault for our code's failures; with more, the code is.
_MOST_AT_FAULT = 100


class Origin(NamedTuple):
    """What submissions must share to share a commit."""

    source: str
    historical: bool = False


class Submission(msgspec.Struct, frozen=True, eq=False, array_like=True):
    """The events of one request."""

    origin: Origin
    project: str
    payloads: Sequence[bytes]
    arrival: Arrival


class Verdict(NamedTuple):
    """Why an event was quarantined."""

    reason: RejectionReason
    message: str


Verdicts = list[Verdict | None]
"""For each event of a submission: why it was quarantined, or None where it was taken."""


class Accepted(NamedTuple):
    """What became of a group of submissions."""

    verdicts: list[Verdicts]
    result: LoadResult


# The circuit breaker of each engine: closed where the last commit had no trouble with our own code.
_closed_circuits: WeakSet[Engine] = WeakSet()


def accept(store: Store, group: Sequence[Submission]) -> Accepted:
    """Take in the events of these submissions, which have one origin, in one commit.

    Where PostgreSQL blames the data, or our own code fails, the group is halved until the events at
    fault stand alone; these are quarantined. It raises only where the store fails, or no event is
    at fault: PostgreSQL blames something else (a missing column or right), or our code fails for
    most events. Then none, or some, of the events are in, and sending them all again does no harm.
    """
    at_fault = _AtFault(store, _most_at_fault(store, group))
    accepted = _isolating(store, group, at_fault)
    if not at_fault.by_our_code:
        _closed_circuits.add(store.engine)
    if not at_fault.events:
        return accepted
    quarantined = load_events(store, [], at_fault.events, group[0].origin.source)
    return Accepted(accepted.verdicts, _sum(accepted.result, quarantined))


def _most_at_fault(store: Store, group: Sequence[Submission]) -> int:
    """How many of these events may be at fault: if others do not go through, our code is at fault.

    For an event that is alone, the others are those of the commit before.
    """
    count = sum(len(submission.payloads) for submission in group)
    return min(count // 2, _MOST_AT_FAULT) if count > 1 else int(store.engine in _closed_circuits)


class _AtFault:
    """The events of a group that failed when they were taken in alone."""

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self.events: list[RejectedEvent] = []
        self.by_our_code = 0

    def add(self, submission: Submission, error: Exception) -> Verdict:
        """Add an event that failed alone; raises `error` where there are too many of them."""
        if not blames_data(error):
            self.by_our_code += 1
            _closed_circuits.discard(self._store.engine)
        if self.by_our_code > self._most:
            raise error
        refusal = EventRejectedError(RejectionReason.REFUSED_BY_STORE, first_line(error))
        [payload] = submission.payloads
        arrival = submission.arrival
        oldest = oldest_possible_start(arrival.at, self._store.window)
        self.events.append(reject(payload, submission.project, arrival, refusal, oldest))
        return Verdict(refusal.reason, str(refusal))


def _isolating(store: Store, group: Sequence[Submission], at_fault: _AtFault) -> Accepted:
    try:
        return _accept(store, group)
    except Exception as error:
        is_an_events_fault = blames_data(error) or driver_error(error) is None
        if is_store_failure(error) or not is_an_events_fault:
            raise
        failure = error
    if len(group) > 1:
        middle = len(group) // 2
        first = _isolating(store, group[:middle], at_fault)
        second = _isolating(store, group[middle:], at_fault)
        return Accepted([*first.verdicts, *second.verdicts], _sum(first.result, second.result))
    [submission] = group
    if len(submission.payloads) == 1:
        return Accepted([[at_fault.add(submission, failure)]], LoadResult(0, 0, Counter()))
    first, second = (_isolating(store, [half], at_fault) for half in _halves(submission))
    return Accepted([first.verdicts[0] + second.verdicts[0]], _sum(first.result, second.result))


def _accept(store: Store, group: Sequence[Submission]) -> Accepted:
    events: list[RawEvent] = []
    rejected: list[RejectedEvent] = []
    verdicts = [_parse(store, submission, events, rejected) for submission in group]
    origin = group[0].origin
    result = load_events(store, events, rejected, origin.source, historical=origin.historical)
    if result.refused:
        _report_refused(verdicts, events, result.refused)
    # Without the refusals: the verdicts hold them, and they need not go to another process.
    return Accepted(verdicts, result._replace(refused=None))


def _report_refused(
    verdicts: Sequence[Verdicts], events: Sequence[RawEvent], refused: Mapping[Key, str]
) -> None:
    """Add PostgreSQL's verdicts to ours, which stand in the order of the events."""
    parsed = iter(events)
    for of_submission in verdicts:
        for place, verdict in enumerate(of_submission):
            if verdict is None:
                event = next(parsed)
                message = refused.get((event.project, event.uuid.int))
                if message is not None:
                    of_submission[place] = Verdict(RejectionReason.REFUSED_BY_STORE, message)


def _parse(
    store: Store,
    submission: Submission,
    events: list[RawEvent],
    rejected: list[RejectedEvent],
) -> Verdicts:
    project, arrival = submission.project, submission.arrival
    allowed = store.settings.allowed_of(project)
    queries = store.settings.page_queries_of(project)
    oldest = oldest_possible_start(arrival.at, store.window)
    verdicts: Verdicts = []
    for payload in submission.payloads:
        try:
            events.append(
                parse_event(
                    payload,
                    project,
                    arrival,
                    lambda _: time_uuid(arrival.at),
                    allowed,
                    oldest,
                    queries,
                )
            )
            verdicts.append(None)
        except EventRejectedError as error:
            rejected.append(reject(payload, project, arrival, error, oldest))
            verdicts.append(Verdict(error.reason, str(error)))
    return verdicts


def _halves(submission: Submission) -> tuple[Submission, Submission]:
    middle = len(submission.payloads) // 2
    first, second = submission.payloads[:middle], submission.payloads[middle:]
    return (
        Submission(submission.origin, submission.project, first, submission.arrival),
        Submission(submission.origin, submission.project, second, submission.arrival),
    )


def _sum(one: LoadResult, other: LoadResult) -> LoadResult:
    return LoadResult(
        one.accepted + other.accepted,
        one.duplicates + other.duplicates,
        Counter(one.quarantined) + other.quarantined,
        batches=[*one.batches, *other.batches],
    )
