"""From submissions to durable events: parsed, told apart, and taken in with one commit.

How submissions come together belongs to `gather`, how events are stored to `store.load`.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

from enrichment_pipeline.events.raw_event import (
    Arrival,
    EventRejectedError,
    RawEvent,
    Reason,
    RejectedEvent,
    parse_event,
    reject,
)
from enrichment_pipeline.events.uuids import time_uuid
from enrichment_pipeline.store.engine import Store
from enrichment_pipeline.store.errors import first_line, is_store_failure
from enrichment_pipeline.store.load import LoadResult, load_events
from enrichment_pipeline.store.windows import partition_start

_LOOK_AGAIN_SECONDS = 1.0


class Kind(NamedTuple):
    """What submissions must share to share a commit."""

    source: str
    historical: bool = False


@dataclass(frozen=True, eq=False)
class Submission:
    """The events of one request."""

    kind: Kind
    project: str
    payloads: Sequence[bytes]
    arrival: Arrival


class Verdict(NamedTuple):
    """Why an event was quarantined."""

    reason: Reason
    message: str


Verdicts = list[Verdict | None]
"""For each event of a submission: why it was quarantined, or None where it was taken."""


class Accepted(NamedTuple):
    """What became of a group of submissions."""

    verdicts: list[Verdicts]
    result: LoadResult


def accept(store: Store, group: Sequence[Submission]) -> Accepted:
    """Take in the events of these submissions, which are of one kind, in one commit.

    Where something fails that is not the store, the group is halved until the event at fault stands
    alone; that one is quarantined. Only a failure of the store is raised: then none, or some, of
    the events are in, and sending them all again does no harm.
    """
    try:
        return _accept(store, group)
    except Exception as error:
        if is_store_failure(error):
            raise
        if len(group) > 1:
            middle = len(group) // 2
            return _joined(accept(store, group[:middle]), accept(store, group[middle:]))
        [submission] = group
        if len(submission.payloads) > 1:
            halves = [accept(store, [half]) for half in _halves(submission)]
            both = _joined(*halves)
            return Accepted([[verdict for half in both.verdicts for verdict in half]], both.result)
        refusal = EventRejectedError(Reason.REFUSED_BY_STORE, first_line(error))
        [payload] = submission.payloads
        rejected = reject(payload, submission.project, submission.arrival, refusal)
        return Accepted(
            [[Verdict(refusal.reason, str(refusal))]],
            load_events(store, [], [rejected], submission.kind.source),
        )


def _accept(store: Store, group: Sequence[Submission]) -> Accepted:
    first_partition = _first_partition(store)
    events: list[RawEvent] = []
    rejected: list[RejectedEvent] = []
    verdicts = [_parse(submission, first_partition, events, rejected) for submission in group]
    kind = group[0].kind
    result = load_events(store, events, rejected, kind.source, historical=kind.historical)
    return Accepted(verdicts, result)


# For each engine the start of the partitions, and when it is to be looked up again: it moves once
# in months, and asking costs each commit a transaction.
_starts: WeakKeyDictionary[Engine, tuple[datetime, float]] = WeakKeyDictionary()


def _first_partition(store: Store) -> datetime:
    start, until = _starts.get(store.engine, (None, 0.0))
    if start is None or time.monotonic() > until:
        with store.transaction() as connection:
            start = partition_start(connection)
        _starts[store.engine] = (start, time.monotonic() + _LOOK_AGAIN_SECONDS)
    return start


def _parse(
    submission: Submission,
    first_partition: datetime,
    events: list[RawEvent],
    rejected: list[RejectedEvent],
) -> Verdicts:
    project, arrival = submission.project, submission.arrival
    verdicts: Verdicts = []
    for payload in submission.payloads:
        try:
            event = parse_event(payload, project, arrival, lambda _: time_uuid(arrival.at))
            if event.occurred_at < first_partition:
                raise _before(event.occurred_at, first_partition)
        except EventRejectedError as error:
            rejected.append(reject(payload, project, arrival, error))
            verdicts.append(Verdict(error.reason, str(error)))
        else:
            events.append(event)
            verdicts.append(None)
    return verdicts


def _before(moment: datetime, first: datetime) -> EventRejectedError:
    return EventRejectedError(
        Reason.BEFORE_FIRST_PARTITION,
        f"happened at {moment:%Y-%m-%d %H:%M:%S}, before the partitions start ({first:%Y-%m-%d}); "
        "import an older event, which moves their start back, and send this one again",
    )


def _halves(submission: Submission) -> tuple[Submission, Submission]:
    middle = len(submission.payloads) // 2
    first, second = submission.payloads[:middle], submission.payloads[middle:]
    return (
        Submission(submission.kind, submission.project, first, submission.arrival),
        Submission(submission.kind, submission.project, second, submission.arrival),
    )


def _joined(first: Accepted, second: Accepted) -> Accepted:
    one, other = first.result, second.result
    result = LoadResult(
        one.accepted + other.accepted,
        one.duplicates + other.duplicates,
        Counter(one.quarantined) + other.quarantined,
    )
    return Accepted([*first.verdicts, *second.verdicts], result)
