"""The events that the demo imports: a few people's sessions in the shop during the last hours.

Here belongs who goes which way when. The pages are in `shop`, the keys of the events in `shapes`.
"""

import random
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec

from enrichment_pipeline.ingest.sample.shapes import browser_time, filled, recorded_shapes
from enrichment_pipeline.ingest.sample.shop import IDENTIFY, WAYS, Act, Visit

# Ids grow out of this and of places in the sample, never out of the time: an event that is
# imported again on another day is the same event.
_NAMESPACE = UUID("6f0a3f52-4a1c-5d0e-9c55-2f6c0f3b9a10")

_SPAN = timedelta(hours=6)
_SESSIONS = 24
_PEOPLE = 9
_HOST = "shop.example"
_CAMPAIGNS = (None, "newsletter", None, "search")


class _Step(NamedTuple):
    """Something done in a session, `at` after the session's start."""

    at: timedelta
    act: Act
    properties: Mapping[str, object]


def sample_events(now: datetime) -> Iterator[bytes]:
    """The demo's events of the six hours before `now` in order, as posthog-js would have sent them.

    `now` is in UTC. Some 570 events of 24 sessions of 9 people, each event as its JSON. Only the
    times depend on `now`: the events, their uuids and all else are the same in every call.
    """
    rng = random.Random(17)  # noqa: S311  a seed makes the same sample every time
    events = []
    for number in range(_SESSIONS):
        steps = list(_steps(number, rng))
        # The latest session has just ended, and the earliest begins within the span.
        end = now - timedelta(seconds=3) - 0.95 * _SPAN * number / _SESSIONS
        start = end - steps[-1].at
        events += [
            (start + step.at, _event(start, step, _id(f"session {number} event {index}")))
            for index, step in enumerate(steps)
        ]
    events.sort(key=lambda timed: timed[0])
    return (event for _, event in events)


def _event(start: datetime, step: _Step, uuid: str) -> bytes:
    properties = {
        **step.properties,
        "$insert_id": uuid.replace("-", "")[:16],
        "$initialization_time": browser_time(start),
    }
    shape = recorded_shapes()[step.act.shape]
    return msgspec.json.encode(filled(shape, uuid, start + step.at, properties, step.act.name))


def _steps(number: int, rng: random.Random) -> Iterator[_Step]:
    """A session: a person goes one of the ways and, like people, leaves some things undone."""
    person = number % _PEOPLE
    way = WAYS[number % len(WAYS)]
    common = _session_properties(number, person, way[0].path)
    at = timedelta()
    for order, visit in enumerate(way):
        page = _page_properties(visit, pageview_id=_id(f"session {number} page {order}"))
        opened = at
        for act in _acts(visit, rng):
            if act is IDENTIFY:
                common |= _identity(person)
            special = _special_properties(act, page, at - opened, person)
            yield _Step(at, act, {**common, **page, **act.properties, **special})
            at += timedelta(seconds=rng.uniform(0.1, 0.3) if act.hasty else rng.uniform(0.4, 18))


def _acts(visit: Visit, rng: random.Random) -> Iterator[Act]:
    yield Act("$pageview", {"title": visit.title})
    yield from (act for act in visit.acts if act is IDENTIFY or rng.random() > 0.12)
    yield Act("$pageleave", {})


def _session_properties(number: int, person: int, entry: str) -> dict[str, object]:
    device = _device(person)
    campaign = _CAMPAIGNS[number % len(_CAMPAIGNS)]
    properties: dict[str, object] = {
        "distinct_id": device,
        "$device_id": device,
        "$session_id": _id(f"session {number}"),
        "$window_id": _id(f"window {number}"),
        "$session_entry_url": f"https://{_HOST}{entry}",
        "$session_entry_host": _HOST,
        "$session_entry_pathname": entry,
        "$session_entry_utm_source": campaign,
        "utm_source": campaign,
        "$lib_custom_api_host": f"https://{_HOST}",
    }
    # Every third person signed up before.
    return properties | _identity(person) if person % 3 == 0 else properties


def _identity(person: int) -> dict[str, object]:
    user = f"user-{101 + person}"
    return {"distinct_id": user, "$user_id": user, "$is_identified": True}


def _page_properties(visit: Visit, pageview_id: str) -> dict[str, object]:
    return {
        "$current_url": f"https://{_HOST}{visit.path}",
        "$host": _HOST,
        "$pathname": visit.path,
        "$pageview_id": pageview_id,
    }


def _special_properties(
    act: Act, page: Mapping[str, object], on_page: timedelta, person: int
) -> dict[str, object]:
    if act is IDENTIFY:
        return {"$anon_distinct_id": _device(person)}
    if act.shape == "$pageleave":
        return {
            "$prev_pageview_id": page["$pageview_id"],
            "$prev_pageview_pathname": page["$pathname"],
            "$prev_pageview_duration": round(on_page.total_seconds(), 3),
        }
    return {}


def _device(person: int) -> str:
    return _id(f"device {person}")


def _id(place: str) -> str:
    return str(uuid5(_NAMESPACE, place))
