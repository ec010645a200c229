"""What a session looks like to whoever answers: its timeline, or its raw events cut to as many
tokens.

The answers by rule are read from a timeline; so what was cut is given as far as a timeline
could still show it.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from benchmarks.tokens import count_tokens, first_tokens, plain_dump, raw_json
from benchmarks.understanding.timelines import timeline_of_payloads
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.rendering import render

TIMELINE = "timeline"
RAW_CUT = "raw events, cut to the same tokens"
DUMP = "time, event and URL of all events"
SHORT_TOKENS = 600

INTRODUCTIONS = {
    TIMELINE: "The timeline of the session: seconds after its start, the action, what was done, "
    "and how many times in a row. `!` marks what deserves attention, `idle` is a time in which "
    "nothing was done.",
    RAW_CUT: "The PostHog events of the session as JSON, one a line, in the order of time; they "
    "may have been cut at the end for lack of room.",
}


class Context(NamedTuple):
    """A form in which a session is put, and its text."""

    form: str
    text: str


class Readable(NamedTuple):
    """A form of a session, and what the rules can read of it."""

    form: str
    text: str
    timeline: str
    """What is left in this form, as a timeline; empty: nothing."""


def contexts_of(payloads: Sequence[bytes], rules: Rules) -> list[Context]:
    """What a model is shown, one after the other."""
    timeline = render(timeline_of_payloads(payloads, rules))
    return [Context(TIMELINE, timeline), Context(RAW_CUT, _raw_cut(payloads, timeline))]


def readable_of(payloads: Sequence[bytes], rules: Rules) -> list[Readable]:
    """What the rules are given: all of the timeline, the timeline within a budget, raw events cut
    to as many tokens, and times, names and URLs alone."""
    timeline = timeline_of_payloads(payloads, rules)
    whole = render(timeline)
    short = render(timeline, max_tokens=SHORT_TOKENS)
    raw = _raw_cut(payloads, whole)
    left = _whole_events(raw)
    return [
        Readable(TIMELINE, whole, whole),
        Readable(f"timeline within {SHORT_TOKENS} tokens", short, short),
        Readable(RAW_CUT, raw, render(timeline_of_payloads(left, rules)) if left else ""),
        Readable(
            DUMP, plain_dump(payloads), render(timeline_of_payloads(_dumped(payloads), rules))
        ),
    ]


def _raw_cut(payloads: Sequence[bytes], timeline: str) -> str:
    return first_tokens(raw_json(payloads), count_tokens(timeline))


def _whole_events(text: str) -> list[bytes]:
    events = []
    for line in text.splitlines():
        with suppress(msgspec.DecodeError):
            msgspec.json.decode(line)
            events.append(line.encode())
    return events


def _dumped(payloads: Sequence[bytes]) -> list[bytes]:
    """Events that have only what stands in a plain dump."""
    events = []
    for line in plain_dump(payloads).splitlines():
        time, event, url = line.split(",", 2)
        fields = {"event": event, "timestamp": time, "distinct_id": "someone"}
        properties = {"$session_id": "session"} | ({"$current_url": url} if url else {})
        events.append(msgspec.json.encode({**fields, "properties": properties}))
    return events
