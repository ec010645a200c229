"""Whether two events with the same uuid are the same event.

PostHog distinguishes events by uuid, name, distinct_id and day. But the time of one event differs
between a retry and an export, because each corrects it by another clock: a difference in time
counts only if no clock explains it.

Storing the second event belongs to `store.ingest.load`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from enrichment_pipeline.events.text import read_json
from enrichment_pipeline.events.times import parse_timestamp
from enrichment_pipeline.events.uuids import another_uuid

# PostHog replaces the first by a hash, so that one event can have both.
_COOKIELESS = ("$posthog_cookieless", "cookieless_")

# More than a wrong time zone can cause.
_FAR_APART = timedelta(days=1)

# Versions that contain their creation time: two equal ones were created at the same time.
_OF_A_TIME = frozenset({1, 6, 7})


class Known(NamedTuple):
    """The known parts of an event, with its uuid."""

    uuid: UUID
    event: str
    distinct_id: str
    occurred_at: datetime
    read_payload: Callable[[], bytes]


def names(event: str, distinct_id: str) -> tuple[str, str]:
    """The name and the distinct_id, which are compared first for events with the same uuid."""
    return event, "" if distinct_id.startswith(_COOKIELESS) else distinct_id


def written_time(fields: Mapping[str, object]) -> str | None:
    """The time of an event as its sender wrote it, in UTC: a retry has the same."""
    moment = parse_timestamp(fields.get("timestamp"))
    return moment.isoformat() if moment else None


def uuid_beside(holder: Known, event: Known) -> UUID | None:
    """The uuid for an event whose own uuid `holder` has; None if it is the same event."""
    identity = names(event.event, event.distinct_id)
    if identity != names(holder.event, holder.distinct_id):
        return another_uuid(event.uuid, *identity)
    apart = abs(event.occurred_at - holder.occurred_at)
    if apart < _FAR_APART or event.uuid.version in _OF_A_TIME:
        return None
    written = _written(event.read_payload())
    if written is None or written == _written(holder.read_payload()):
        return None
    return another_uuid(event.uuid, *identity, written)


def _written(payload: bytes) -> str | None:
    fields = read_json(payload)
    return written_time(fields) if isinstance(fields, dict) else None
