"""From payloads to a timeline without a store: what the pipeline does with events, without what it
keeps.

A test holds this against the real path: the same events taken in, enriched and built.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.derive import derive
from enrichment_pipeline.events.raw_event import Arrival, RawEvent, parse_event
from enrichment_pipeline.llm.sessions import derived_id
from enrichment_pipeline.llm.timelines import Timeline, build_timeline
from enrichment_pipeline.store.sessions.reading import SessionEvent

PROJECT = "understanding"
PERSON = "person_3f9a12c4d0"
ARRIVAL = Arrival(datetime(2026, 4, 1, tzinfo=UTC))


def by_session(payloads: Iterable[bytes]) -> list[list[bytes]]:
    """The events of each session, the earliest session first; those without an id are one."""
    sessions: dict[str, list[bytes]] = {}
    for payload in payloads:
        session_id = parse_event(payload, PROJECT, ARRIVAL).session_id or ""
        sessions.setdefault(session_id, []).append(payload)
    return list(sessions.values())


def timelines_of_payloads(payloads: Iterable[bytes], rules: Rules) -> list[Timeline]:
    """The timeline of each session."""
    return [timeline_of_payloads(some, rules) for some in by_session(payloads)]


def timeline_of_payloads(payloads: Sequence[bytes], rules: Rules) -> Timeline:
    """The timeline of one session's events."""
    events = [parse_event(payload, PROJECT, ARRIVAL) for payload in payloads]
    session_id = events[0].session_id or derived_id(PERSON, events[0].occurred_at.timestamp())
    return build_timeline(
        PROJECT, session_id, PERSON, [_session_event(event, rules) for event in events]
    )


def _session_event(event: RawEvent, rules: Rules) -> SessionEvent:
    output = derive(event.inputs, rules)
    return SessionEvent(
        occurred_at=event.occurred_at.timestamp(),
        event=event.event,
        description=_description(output.description, event.detail),
        path_template=output.path_template,
        distinct_id=event.distinct_id,
        device=event.device,
        touch=output.touch,
        tab=event.tab,
    )


def _description(sentence: str, detail: str | None) -> str:
    """As `store.enriched.DESCRIPTION` has it."""
    if detail is None or len(sentence) > 100:
        return sentence
    if len(sentence) + len(detail) <= 117:
        return f"{sentence} ({detail})"
    return f"{sentence} ({detail[: 116 - len(sentence)]}…)"
