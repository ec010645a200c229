"""What makes two events with the same uuid one event, or two.

PostHog tells events apart by uuid, name, distinct_id and the day. But of one event the time differs
from a retry to its export, because each has corrected it by another clock: a time counts where no
clock explains it.

What becomes of the second one belongs to `store.ingest.load`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from enrichment_pipeline.events.text import read_json
from enrichment_pipeline.events.times import parse_timestamp
from enrichment_pipeline.events.uuids import another_uuid

# PostHog puts a hash in the place of the first, so that one event has both.
_COOKIELESS = ("$posthog_cookieless", "cookieless_")

# More than a wrong zone makes.
_FAR_APART = timedelta(days=1)

# Those that have the time of their making in them: made twice, it was at the same time.
_OF_A_TIME = frozenset({1, 6, 7})


class Known(NamedTuple):
    """An event of which so much is known, with its uuid."""

    uuid: UUID
    event: str
    distinct_id: str
    occurred_at: datetime
    read_payload: Callable[[], bytes]


def names(event: str, distinct_id: str) -> tuple[str, str]:
    """The name and the distinct_id, by which events with the same uuid are told apart first."""
    return event, "" if distinct_id.startswith(_COOKIELESS) else distinct_id


def written_time(fields: Mapping[str, object]) -> str | None:
    """The time of an event as its sender wrote it, in UTC: a retry has the same."""
    moment = parse_timestamp(fields.get("timestamp"))
    return moment.isoformat() if moment else None


def uuid_beside(holder: Known, event: Known) -> UUID | None:
    """The uuid for an event whose own `holder` has; None where it is the same event."""
    told_apart = names(event.event, event.distinct_id)
    if told_apart != names(holder.event, holder.distinct_id):
        return another_uuid(event.uuid, *told_apart)
    apart = abs(event.occurred_at - holder.occurred_at)
    if apart < _FAR_APART or event.uuid.version in _OF_A_TIME:
        return None
    written = _written(event.read_payload())
    if written is None or written == _written(holder.read_payload()):
        return None
    return another_uuid(event.uuid, *told_apart, written)


def _written(payload: bytes) -> str | None:
    fields = read_json(payload)
    return written_time(fields) if isinstance(fields, dict) else None
