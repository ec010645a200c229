"""Which events of a session say nothing about its user: PostHog's own noise, and heartbeats.

Pure. The other events belong to `timelines`.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import median

from enrichment_pipeline.events.noise import NOISE
from enrichment_pipeline.llm.event_names import is_error
from enrichment_pipeline.store.sessions.reading import SessionEvent

_HEARTBEAT = re.compile(r"heart.?beat|keep.?alive|(?<![a-z])ping\Z", re.I)

# No person is that regular for long; a heartbeat misses a beat when a laptop sleeps.
_FEWEST_BEATS = 6
_SHORTEST_BEAT = 5.0
_EVENNESS = 0.15
_EVEN_ONES = 0.75


def noise_of(events: Sequence[SessionEvent]) -> set[str]:
    """The names of the events, given in the order of time, that say nothing about the user."""
    by_name: defaultdict[str, list[SessionEvent]] = defaultdict(list)
    for event in events:
        by_name[event.event].append(event)
    return {name for name, of_name in by_name.items() if _is_noise(name, of_name)}


def _is_noise(name: str, events: Sequence[SessionEvent]) -> bool:
    if name.startswith("$"):
        return name in NOISE
    if is_error(name):
        return False
    return _is_heartbeat(name) or (len(events) >= _FEWEST_BEATS and _beats(events))


@lru_cache(maxsize=8_192)
def _is_heartbeat(name: str) -> bool:
    return bool(_HEARTBEAT.search(name))


def _beats(events: Sequence[SessionEvent]) -> bool:
    """Whether these events are regular like a clock, and always the same."""
    moments = [event.occurred_at for event in events]
    gaps = [after - before for before, after in pairwise(moments)]
    middle = median(gaps)
    even = sum(abs(gap - middle) <= _EVENNESS * middle for gap in gaps)
    if middle < _SHORTEST_BEAT or even < _EVEN_ONES * len(gaps):
        return False
    said = {event.description for event in events}
    return 2 * len(said) <= len(moments)
