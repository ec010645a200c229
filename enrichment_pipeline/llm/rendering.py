"""Writing a timeline within a budget of tokens: the most important entries, and a note on the rest.

The contents of a timeline belong to `timelines`, the three forms to `forms`. `make bench` measures
how many tokens each form costs.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from enrichment_pipeline.llm.entries import Entry
from enrichment_pipeline.llm.forms import FORMS, LEAST, SHORT, WHOLE, Brevity, Form, Line, write
from enrichment_pipeline.llm.timelines import Timeline
from enrichment_pipeline.llm.tokens import estimate_tokens

__all__ = ["FEWEST_TOKENS", "FORMS", "Form", "render"]

FEWEST_TOKENS = 200
"""A smaller budget does not fit the person, the time and the kinds of signals."""

_MOST_BYTES_OF_CHARACTER = 4
_FEWEST_TOKENS_OF_LINE = 4
_SHARE_OF_HEAD = 0.5

# What is left out first. Signals, actions that a user named or sent, and the longest silences are
# the most important.
_WEIGHTS = {
    "leave": 0,
    "other": 1,
    "tab": 1,
    "idle": 2,
    "change": 2,
    "click": 2,
    "view": 3,
    "event": 4,
}
_WEIGHT_OF_THE_REST = 4
_WEIGHT_OF_SILENCES = 5
_WEIGHT_OF_SIGNALS = 7
_EDGES = 5
_LONGEST_SILENCES = 3


def render(timeline: Timeline, form: Form = "text", max_tokens: int | None = None) -> str:
    """The timeline in this form. With `max_tokens` it keeps the most important entries, says what
    it left out, and has an estimated size of at most so many tokens.

    Raises:
        ValueError: `max_tokens` is below `FEWEST_TOKENS`.
    """
    whole = write(timeline, timeline.entries, form, WHOLE)
    if max_tokens is None or _fits(whole, max_tokens):
        return whole
    if max_tokens < FEWEST_TOKENS:
        raise ValueError(f"{max_tokens} tokens are too few for a timeline; {FEWEST_TOKENS} will do")
    return _within(timeline, form, max_tokens)


def _fits(written: str, tokens: float) -> bool:
    # A token has at least one byte: most texts need no estimate.
    is_small = len(written) * _MOST_BYTES_OF_CHARACTER <= tokens
    return is_small or estimate_tokens(written) <= tokens


def _within(timeline: Timeline, form: Form, max_tokens: int) -> str:
    brevity, best = _head(timeline, form, max_tokens)
    ranked = _ranked(timeline.entries)
    fits, too_many = 0, min(len(ranked), max_tokens // _FEWEST_TOKENS_OF_LINE) + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        lines = _kept(timeline.entries, set(ranked[:middle]))
        written = write(timeline, lines, form, brevity)
        if _fits(written, max_tokens):
            fits, best = middle, written
        else:
            too_many = middle
    return best


def _head(timeline: Timeline, form: Form, max_tokens: int) -> tuple[Brevity, str]:
    """The brevity that leaves most of the budget to the entries; and the timeline without
    entries."""
    lines = _kept(timeline.entries, set())
    for brevity in (WHOLE, SHORT):
        written = write(timeline, lines, form, brevity)
        if _fits(written, max_tokens * _SHARE_OF_HEAD):
            return brevity, written
    return LEAST, write(timeline, lines, form, LEAST)


def _ranked(entries: Sequence[Entry]) -> list[int]:
    """The indexes of the entries, the most important first; of two equal ones, the one nearer to
    the beginning or the end comes first."""
    silences = [at for at, entry in enumerate(entries) if entry.action == "idle"]
    silences.sort(key=lambda at: entries[at].at - entries[at].until)
    longest = set(silences[:_LONGEST_SILENCES])

    def rank(at: int) -> tuple[int, int, int]:
        entry = entries[at]
        weight = _WEIGHTS.get(entry.action, _WEIGHT_OF_THE_REST)
        if entry.signal:
            weight = _WEIGHT_OF_SIGNALS
        elif at in longest:
            weight = _WEIGHT_OF_SILENCES
        from_edge = min(at, len(entries) - 1 - at)
        if from_edge < _EDGES:
            weight += 1
        return -weight, from_edge, at

    return sorted(range(len(entries)), key=rank)


def _kept(entries: Sequence[Entry], kept: set[int]) -> list[Line]:
    lines: list[Line] = []
    for is_kept, run in groupby(range(len(entries)), key=kept.__contains__):
        if is_kept:
            lines.extend(entries[at] for at in run)
        else:
            left_out: Counter[str] = Counter()
            for at in run:
                left_out[entries[at].action] += entries[at].times
            lines.append(left_out)
    return lines
