"""The labelled sessions as timelines, and how right their signals are."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.derive import derive
from enrichment_pipeline.events.raw_event import Arrival, parse_event
from enrichment_pipeline.llm.timelines import Timeline, build_timeline
from enrichment_pipeline.store.sessions.reading import SessionEvent
from enrichment_pipeline_tests.conftest import make_event
from enrichment_pipeline_tests.llm.labelled.generated import Labelled, Made, generated_sessions

HERE = Path(__file__).parent
KINDS = ("form_not_sent", "rage_click", "dead_click", "error")
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
_ARRIVAL = Arrival(START + timedelta(days=1))
_DELAY = 1.5
"""Seconds by which the time of an event may be wrong, whose request arrived later than others."""


def recorded_sessions() -> Iterator[Labelled]:
    """Those of a real browser (`record`), and those that others recorded (`given.json`)."""
    for file in ("recorded.json", "given.json"):
        kept = json.loads((HERE / file).read_text())
        elements = kept["elements"]
        for one in kept["sessions"]:
            rng = random.Random(one["name"])
            events = []
            for at, event, sub_type, page, chain in one["events"]:
                off = rng.uniform(-_DELAY, _DELAY) if event == "$dead_click" else 0
                text = ";".join(elements[part] for part in chain)
                events.append(Made(max(0.0, at / 1000 + off), event, sub_type, page, text))
            yield Labelled(one["name"], one["part"], frozenset(one["signals"]), events)


def all_sessions() -> list[Labelled]:
    """All of them."""
    return [*recorded_sessions(), *generated_sessions()]


def timeline_of(session: Labelled, rules: Rules) -> Timeline:
    """Its timeline, as the pipeline makes it."""
    return build_timeline("default", "one", "person", session_events(session, rules))


def session_events(session: Labelled, rules: Rules) -> list[SessionEvent]:
    """Its events, as enrichment leaves them."""
    found = []
    for one in session.events:
        properties = {"$event_type": one.sub_type, "$elements_chain": one.chain or None}
        given = {name: value for name, value in properties.items() if value}
        payload = make_event(
            one.event,
            START + timedelta(seconds=one.at),
            properties={**given, "$pathname": one.page},
        )
        event = parse_event(payload, "default", _ARRIVAL)
        output = derive(event.inputs, rules)
        found.append(
            SessionEvent(
                event.occurred_at.timestamp(),
                event.event,
                output.description,
                output.path_template,
                event.distinct_id,
                None,
                output.touch,
            )
        )
    return found


class Score(NamedTuple):
    """How often a signal was found rightly."""

    right: int
    false: int
    missed: int

    @property
    def precision(self) -> float:
        """Of those found, how many are there."""
        return self.right / max(1, self.right + self.false)

    @property
    def recall(self) -> float:
        """Of those that are there, how many were found."""
        return self.right / max(1, self.right + self.missed)


def scores(sessions: Sequence[Labelled], rules: Rules) -> dict[str, Score]:
    """Of each signal: in how many sessions it was found rightly, falsely, and missed."""
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for session in sessions:
        found = {signal.kind for signal in timeline_of(session, rules).signals}
        for kind in KINDS:
            is_there, is_found = kind in session.signals, kind in found
            counts[kind][0] += is_there and is_found
            counts[kind][1] += is_found and not is_there
            counts[kind][2] += is_there and not is_found
    return {kind: Score(*counts[kind]) for kind in KINDS}
