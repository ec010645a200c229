"""What a session looks like to whoever answers: its timeline as text, and other forms, cut to as
many tokens.

The answers by rule are read from a timeline; so what was cut is given as far as a timeline
could still show it.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from benchmarks.tokens import as_csv, count_tokens, first_tokens, plain_dump, raw_json
from benchmarks.understanding.timelines import by_session, timelines_of_payloads
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.llm.rendering import Form, render
from enrichment_pipeline.llm.timelines import Timeline

TIMELINE = "timeline"
CSV = "timeline as CSV"
MARKDOWN = "timeline as Markdown"
JSON = "timeline as JSON"
RAW = "raw events"
DUMP = "time, event and URL"
FORMS = (TIMELINE, CSV, MARKDOWN, JSON, RAW, DUMP)
SHORT_TOKENS = 600

_HOW_READ = (
    "seconds after the start of the session, the action, what was done, and how many times in a "
    "row. `idle` is a time in which nothing was done"
)
_CUT = "It may have been cut at the end for lack of room."
INTRODUCTIONS = {
    TIMELINE: f"The timeline of each session: {_HOW_READ}; `!` marks what deserves attention.",
    CSV: f"The timeline of each session: a head, then its lines as CSV: {_HOW_READ}, until the "
    f"second in `until`; `signal` says what deserves attention. {_CUT}",
    MARKDOWN: f"The timeline of each session in Markdown: {_HOW_READ}; ⚠ marks what deserves "
    f"attention. {_CUT}",
    JSON: f"The timeline of each session as JSON, one a line. Each of its `entries` has in `at` "
    f"the {_HOW_READ}; `signals` says what deserves attention. {_CUT}",
    RAW: f"The PostHog events of each session as JSON, one a line, in the order of time. {_CUT}",
    DUMP: "The PostHog events of each session, one a line, in the order of time: its time, its "
    f"name, and the URL of the page. {_CUT}",
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
    """What is left in this form, as timelines; empty: nothing."""


def contexts_of(
    payloads: Sequence[bytes], rules: Rules, *, is_whole: bool = False
) -> list[Context]:
    """What a model is shown, one after the other: each form within the tokens of the timeline as
    text; or, where `is_whole`, all that is written out of a timeline, uncut."""
    timelines = timelines_of_payloads(payloads, rules)
    text = _rendered(timelines, "text")
    written = {
        TIMELINE: text,
        CSV: "\n".join(map(_csv, timelines)),
        MARKDOWN: _rendered(timelines, "markdown"),
        JSON: _rendered(timelines, "json"),
    }
    if is_whole:
        return [Context(form, one) for form, one in written.items()]
    written |= {RAW: raw_json(payloads), DUMP: plain_dump(payloads)}
    tokens = count_tokens(text)
    return [Context(form, first_tokens(written[form], tokens)) for form in FORMS]


def readable_of(payloads: Sequence[bytes], rules: Rules) -> list[Readable]:
    """What the rules are given: all of the timeline, the timeline within a budget, raw events cut
    to as many tokens, and times, names and URLs alone, cut and uncut."""
    timelines = timelines_of_payloads(payloads, rules)
    whole = _rendered(timelines, "text")
    short = _rendered(timelines, "text", SHORT_TOKENS)
    cut = {one.form: one.text for one in contexts_of(payloads, rules)}
    dumps = [plain_dump(some) for some in by_session(payloads)]
    # So many lines are whole in the dump that was cut.
    lines = cut[DUMP].count("\n")
    return [
        Readable(TIMELINE, whole, whole),
        Readable(f"timeline within {SHORT_TOKENS} tokens", short, short),
        Readable(RAW, cut[RAW], _as_timelines(_whole_events(cut[RAW]), rules)),
        Readable(DUMP, cut[DUMP], _as_timelines(_dumped(dumps)[:lines], rules)),
        Readable(f"{DUMP}, uncut", "".join(dumps), _as_timelines(_dumped(dumps), rules)),
    ]


def _rendered(timelines: Sequence[Timeline], form: Form, max_tokens: int | None = None) -> str:
    return "\n".join(render(timeline, form, max_tokens) for timeline in timelines)


def _csv(timeline: Timeline) -> str:
    """The entries as CSV, under the head that the text has."""
    head = render(timeline).partition("\nseconds action what\n")[0]
    return f"{head}\n{as_csv(timeline)}"


def _as_timelines(payloads: Sequence[bytes], rules: Rules) -> str:
    return _rendered(timelines_of_payloads(payloads, rules), "text")


def _whole_events(text: str) -> list[bytes]:
    events = []
    for line in text.splitlines():
        with suppress(msgspec.DecodeError):
            msgspec.json.decode(line)
            events.append(line.encode())
    return events


def _dumped(dumps: Sequence[str]) -> list[bytes]:
    """Events that have only what stands in a plain dump; whoever reads it sees that there are two
    sessions, as days lie between them."""
    events = []
    for number, dump in enumerate(dumps):
        for line in dump.splitlines():
            time, event, url = line.split(",", 2)
            fields = {"event": event, "timestamp": time, "distinct_id": "someone"}
            properties = {"$session_id": f"session {number}"}
            properties |= {"$current_url": url} if url else {}
            events.append(msgspec.json.encode({**fields, "properties": properties}))
    return events
