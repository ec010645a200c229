"""Whose session it is, where several people have used one device without logging out.

Pure; who an id belongs to is read from the store (`store.ingest.people`).
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from enrichment_pipeline.events.people import is_nobody
from enrichment_pipeline.store.sessions.reading import SessionEvent

NOBODY: Mapping[str, Hashable] = {}
"""Of a session in which nobody is in doubt."""


class Arrival(NamedTuple):
    """Another person begins in a session."""

    at: float
    """Unix time."""
    before: str
    """A distinct_id of the person before."""


def ids_in_doubt(events: Sequence[SessionEvent]) -> list[str]:
    """The distinct_ids of a session, in the order of time, that may be of several people; empty if
    it has one, or one that was identified as the other in it, as is usual."""
    ids = {event.distinct_id for event in events}
    if len(ids) < 2:
        return []
    identify = next((event for event in events if event.event == "$identify"), None)
    if identify is not None and len(ids) == 2:
        before = next(event.distinct_id for event in events)
        logins = {event.distinct_id for event in events if event.event == "$identify"}
        if logins == {identify.distinct_id} and before != identify.distinct_id:
            return []
    return sorted(ids)


def other_people(events: Sequence[SessionEvent], people: Mapping[str, Hashable]) -> list[Arrival]:
    """Where another person begins: after somebody who was identified, an id that is not theirs.
    `people` has the person of each identified id; any other id is a person of its own."""
    found: list[Arrival] = []
    current: SessionEvent | None = None
    last_of = {event.distinct_id: event.occurred_at for event in events}
    for event in events:
        # A server may send events of the session meanwhile, under an id of its own.
        is_beside = (
            event.distinct_id not in people
            and current
            and (last_of[current.distinct_id] > event.occurred_at)
        )
        if is_beside or is_nobody(event.distinct_id):
            continue
        if current is not None and event.distinct_id != current.distinct_id:
            before = people.get(current.distinct_id)
            if before is not None and people.get(event.distinct_id) != before:
                found.append(Arrival(event.occurred_at, current.distinct_id))
        current = event
    return found
