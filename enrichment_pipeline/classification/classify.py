"""The public function that classifies one event. The rules belong to `rules`."""

from collections.abc import Mapping

from enrichment_pipeline.classification.rules import EventClassification, Rules
from enrichment_pipeline.classification.rules_file import load_rules


def classify_event(
    event_name: object, properties: object, rules: Rules | None = None
) -> EventClassification:
    """Classify one PostHog event.

    Total: it accepts any JSON value and never raises. A name that is not a string is
    unknown/unknown; properties that are not a mapping count as none.

    Args:
        event_name: the event's `event`.
        properties: the event's `properties`, of which only `$event_type` is read.
        rules: the rules to apply; without them, the built-in ones (no setting is read here).
    """
    effective = load_rules() if rules is None else rules
    return effective.classify(event_name, sub_type_of(properties))


def sub_type_of(properties: object) -> object:
    """The `$event_type` of an event's properties; None if there is none."""
    # `dict` first: checking for `Mapping` takes four times as long, and this runs for every event.
    return properties.get("$event_type") if isinstance(properties, (dict, Mapping)) else None
