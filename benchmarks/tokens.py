"""Tokens of a session: its timeline in each form, against its raw events and a plain dump of them;
counted by a real tokenizer.

How a timeline is written belongs to `llm.rendering`; what a model makes of it to `understanding`.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median

import mistral_common
import msgspec
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from benchmarks.measure import Report
from benchmarks.understanding.scripts import all_scripts
from benchmarks.understanding.sessions import payloads_of
from benchmarks.understanding.timelines import by_session, timeline_of_payloads
from enrichment_pipeline.classification import Rules
from enrichment_pipeline.ingest.sample.sample import sample_events
from enrichment_pipeline.llm.rendering import FORMS, render
from enrichment_pipeline.llm.timelines import Timeline

TOKENIZER = "tekken_240911.json"
"""The vocabulary of Mistral's models since NeMo, which its package ships."""

RAW = "raw events"
PLAIN = "plain dump"
CSV = "csv"
_FEW_EVENTS = 6


def measure(report: Report, rules: Rules) -> None:
    """Count the scripted sessions and those of the demo's sample."""
    for name, sessions in (("scripted", scripted_sessions()), ("of the sample", sample_sessions())):
        _compare(report, name, [(len(one), tokens_of(one, rules)) for one in sessions])


def _compare(report: Report, name: str, counted: Sequence[tuple[int, Mapping[str, int]]]) -> None:
    title = f"tokens, {len(counted)} sessions {name}"
    sums = {form: sum(tokens[form] for _, tokens in counted) for form in (RAW, PLAIN, *FORMS, CSV)}
    figures = ", ".join(f"{form} {tokens:,}" for form, tokens in sums.items())
    report.fact(f"{title}: in all", figures)
    for other, target in ((RAW, "≥ 50"), (PLAIN, "> 1")):
        ratios = [tokens[other] / tokens["text"] for _, tokens in counted]
        report.fact(
            f"{title}: {other} / timeline as text, median and in all",
            f"{median(ratios):.1f}, {sums[other] / sums['text']:.1f}",
            target,
        )
    longer = [tokens for events, tokens in counted if events >= _FEW_EVENTS]
    below = sum(tokens["text"] < tokens[PLAIN] for tokens in longer)
    report.fact(
        f"{title}: fewer than the plain dump, of those with {_FEW_EVENTS} events and more",
        f"{below} of {len(longer)}",
        "all",
    )


def tokens_of(payloads: Sequence[bytes], rules: Rules) -> dict[str, int]:
    """The tokens of one session by form, the raw events and the plain dump among them."""
    timeline = timeline_of_payloads(payloads, rules)
    texts = {RAW: raw_json(payloads), PLAIN: plain_dump(payloads), CSV: as_csv(timeline)}
    texts |= {form: render(timeline, form) for form in FORMS}
    return {form: count_tokens(text) for form, text in texts.items()}


def raw_json(payloads: Sequence[bytes]) -> str:
    """The events as they arrived, one a line."""
    return "".join(payload.decode() + "\n" for payload in payloads)


def plain_dump(payloads: Sequence[bytes]) -> str:
    """What one would write without this project: `2026-11-27T10:15:02.123Z,$pageview,https://…`."""
    lines = []
    for payload in payloads:
        event = msgspec.json.decode(payload)
        url = event["properties"].get("$current_url", "")
        lines.append(f"{event['timestamp']},{event['event']},{url}\n")
    return "".join(lines)


def as_csv(timeline: Timeline) -> str:
    """The entries of a timeline as CSV, to compare with: whoever reads it needs no head."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(("seconds", "action", "what", "page", "times", "until", "signal"))
    for entry in timeline.entries:
        writer.writerow(
            (
                *(round(entry.at), entry.action, entry.text, entry.page or "", entry.times),
                *(round(entry.until), entry.signal or ""),
            )
        )
    return written.getvalue()


def count_tokens(text: str) -> int:
    """The tokens of a text."""
    return len(_tokenizer().encode(text, bos=False, eos=False))


def first_tokens(text: str, count: int) -> str:
    """The beginning of a text, of no more than so many tokens."""
    tokenizer = _tokenizer()
    tokens = tokenizer.encode(text, bos=False, eos=False)
    if len(tokens) <= count:
        return text
    while True:
        # The last token may be part of a letter; and what was cut may be put together otherwise.
        beginning = tokenizer.decode(tokens[:count])
        if text.startswith(beginning) and count_tokens(beginning) <= count:
            return beginning
        tokens = tokens[: min(len(tokens), count) - 1]


@cache
def _tokenizer() -> Tekkenizer:
    return Tekkenizer.from_file(Path(mistral_common.__file__).parent / "data" / TOKENIZER)


def scripted_sessions() -> list[list[bytes]]:
    """The events of the scripts, by session."""
    return [session for script in all_scripts() for session in by_session(payloads_of(script))]


def sample_sessions() -> list[list[bytes]]:
    """The events of the demo's sample, by session."""
    sessions: dict[str, list[bytes]] = {}
    for payload in sample_events(datetime(2026, 3, 23, tzinfo=UTC)):
        session = msgspec.json.decode(payload)["properties"]["$session_id"]
        sessions.setdefault(session, []).append(payload)
    return list(sessions.values())
