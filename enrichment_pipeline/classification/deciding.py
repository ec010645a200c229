"""Which rule decides about a name, and a suggested rule for a name without one.

The result of rules belongs to `rules`.
"""

import re
from typing import Literal, NamedTuple

from enrichment_pipeline.classification.rules import EventClassification, Rules

Kind = Literal["name", "sub_type", "pattern", "default"]


class Decision(NamedTuple):
    """The rule that decides about an event."""

    kind: Kind
    """`default`: no rule matches it."""
    text: str | None
    """The name, the sub-type or the text of the pattern."""
    classification: EventClassification


def decide(rules: Rules, event: str, sub_type: str | None = None) -> Decision:
    """The rule that decides, and its result: the same as `Rules.classify`."""
    classification = rules.classify(event, sub_type)
    if event in rules.events:
        by_sub_type = rules.sub_types.get(event, {})
        if sub_type is not None and sub_type in by_sub_type:
            return Decision("sub_type", sub_type, classification)
        return Decision("name", event, classification)
    if not event.startswith("$"):
        lower = event.lower()
        for text, _ in rules.patterns:
            if text in lower:
                return Decision("pattern", text, classification)
    return Decision("default", None, classification)


# Words in names, and the action that each suggests; the first match counts.
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("submit", ("order", "placed", "paid", "payment", "purchase", "purchased", "checkout", "sent")),
    ("submit", ("signup", "signed", "registered", "created", "saved", "added", "uploaded")),
    ("change", ("changed", "updated", "edited", "removed", "deleted", "toggled", "renamed", "set")),
    ("navigate", ("login", "logged", "logout", "entered", "visited", "searched", "search", "seen")),
    ("view", ("shown", "viewed", "displayed", "impression", "loaded", "rendered", "screen")),
    ("leave", ("closed", "dismissed", "abandoned", "cancelled", "canceled", "left", "exit")),
    ("click", ("pressed", "tapped", "tap", "press", "clicked", "hit")),
)
_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OF_POSTHOG = {"$screen": ("pageview", "view"), "$dead_click": ("click", "click")}


def suggestion(rules: Rules, event: str) -> str:
    """A line for the section `events` of a rules file, for a name that no rule matches."""
    event_type, action_type = _OF_POSTHOG.get(event, (rules.without_dollar.event_type, None))
    words = {word.lower() for word in _WORD.findall(_HUMP.sub(" ", event))}
    if action_type is None:
        found = (action for action, those in _WORDS if words & set(those))
        default = rules.with_dollar if event.startswith("$") else rules.without_dollar
        action_type = next(found, default.action_type)
    return f"{_quoted(event)}: {{event_type: {event_type}, action_type: {action_type}}}"


def _quoted(text: str) -> str:
    escaped = "".join(
        character if character.isprintable() and character not in '"\\' else _escape(character)
        for character in text
    )
    return f'"{escaped}"'


def _escape(character: str) -> str:
    return f"\\{character}" if character in '"\\' else f"\\U{ord(character):08x}"
