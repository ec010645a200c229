"""The rules in effect, and how they classify.

The meaning of a rule belongs here, its source to `rules_file`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import NamedTuple

SEMANTICS = 2
"""Part of the rules version. Raise it when `Rules.classify` gives another result for the same
rules; otherwise results of older code would be taken for results of this code."""


class EventClassification(NamedTuple):
    """What an event is (`event_type`) and what the user did (`action_type`)."""

    event_type: str
    action_type: str


@dataclass(frozen=True, eq=False)
class Rules:
    """Rules in effect; immutable. `load_rules` makes them."""

    event_types: tuple[str, ...]
    """The vocabulary: every `event_type` that `classify` may return is in it."""
    action_types: tuple[str, ...]
    """The vocabulary of `action_type`."""
    events: Mapping[str, EventClassification]
    """By exact name."""
    sub_types: Mapping[str, Mapping[str, EventClassification]]
    """By exact name, then `$event_type`; each of these names is in `events` too."""
    patterns: tuple[tuple[str, EventClassification], ...]
    """Lower-case texts in the order in which they are matched with names without a `$` in front."""
    without_dollar: EventClassification
    """For names without a `$` in front that nothing else matches."""
    with_dollar: EventClassification
    """For names with a `$` in front that nothing else matches."""
    not_a_string: EventClassification
    """For a name that is not a string."""
    version: str = field(init=False)
    """The rules version: 16 hex digits, the same for rules with the same results."""

    def __post_init__(self) -> None:
        sub_types = {name: MappingProxyType(dict(by)) for name, by in self.sub_types.items()}
        object.__setattr__(self, "events", MappingProxyType(dict(self.events)))
        object.__setattr__(self, "sub_types", MappingProxyType(sub_types))
        object.__setattr__(self, "version", _content_hash(self))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles for another process; the read-only mappings cannot be pickled."""
        sub_types = {name: dict(by) for name, by in self.sub_types.items()}
        mappings = (dict(self.events), sub_types)
        fallbacks = (self.without_dollar, self.with_dollar, self.not_a_string)
        vocabulary = (self.event_types, self.action_types)
        return Rules, (*vocabulary, *mappings, self.patterns, *fallbacks)

    def classify(self, event_name: object, sub_type: object) -> EventClassification:
        """Classify an event by the two values on which the result depends: its name and its
        `$event_type`. Total: it accepts values of any type."""
        if not isinstance(event_name, str):
            return self.not_a_string
        exact = self.events.get(event_name)
        if exact is not None:
            by_sub_type = self.sub_types.get(event_name)
            # JSON allows lists and objects here too, which cannot be keys of a mapping.
            if by_sub_type is None or not isinstance(sub_type, str):
                return exact
            return by_sub_type.get(sub_type, exact)
        if event_name.startswith("$"):
            return self.with_dollar
        lower = event_name.lower()
        for text, classification in self.patterns:
            if text in lower:
                return classification
        return self.without_dollar


def _content_hash(rules: Rules) -> str:
    """Hash of the results of `rules`. The vocabulary is left out: unused words change no result."""
    # The order of neighbouring texts with the same result makes no difference.
    patterns = [
        [sorted({text for text, _ in group}), classification]
        for classification, group in groupby(rules.patterns, key=itemgetter(1))
    ]
    content = {
        "semantics": SEMANTICS,
        "events": dict(rules.events),
        "sub_types": {name: dict(by) for name, by in rules.sub_types.items()},
        "patterns": patterns,
        "fallbacks": [rules.without_dollar, rules.with_dollar, rules.not_a_string],
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()[:16]
