"""What a session looks like to whoever answers: its timeline, or its raw events cut to as many
tokens.

The answers by rule are read from a timeline; so of what was cut is told what a timeline could
still tell.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from benchmarks.tokens import count_tokens, first_tokens, plain_dump, raw_json
from benchmarks.understanding.telling import tell
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.rendering import render

TIMELINE = "timeline"
RAW_CUT = "raw events, cut to the same tokens"
SHORT_TOKENS = 600

INTRODUCTIONS = {
    TIMELINE: "The timeline of the session: seconds after its start, the action, and what was done. "
    "`!` marks what deserves attention, `idle` is a time in which nothing was done, `× 3` three "
    "times in a row.",
    RAW_CUT: "The PostHog events of the session as JSON, one a line, in the order of time; they may "
    "have been cut at the end for lack of room.",
}


class Context(NamedTuple):
    """A form in which a session is put, and its text."""

    form: str
    text: str


def contexts_of(payloads: Sequence[bytes], rules: Rules) -> list[Context]:
    """What a model is shown, one after the other."""
    timeline = render(tell(payloads, rules))
    cut = first_tokens(raw_json(payloads), count_tokens(timeline))
    return [Context(TIMELINE, timeline), Context(RAW_CUT, cut)]


def timelines_by_form(payloads: Sequence[bytes], rules: Rules) -> dict[str, str]:
    """What is left to read in each form, as a timeline: all of it, within a budget of tokens, of raw
    events cut to as many tokens, and of times, names and URLs alone. Empty: nothing."""
    told = tell(payloads, rules)
    whole = render(told)
    cut = _whole_events(first_tokens(raw_json(payloads), count_tokens(whole)))
    return {
        TIMELINE: whole,
        f"timeline within {SHORT_TOKENS} tokens": render(told, max_tokens=SHORT_TOKENS),
        RAW_CUT: render(tell(cut, rules)) if cut else "",
        "plain dump: time, event, URL": render(tell(_dumped(payloads), rules)),
    }


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
        told = {"event": event, "timestamp": time, "distinct_id": "someone"}
        properties = {"$session_id": "session"} | ({"$current_url": url} if url else {})
        events.append(msgspec.json.encode({**told, "properties": properties}))
    return events
