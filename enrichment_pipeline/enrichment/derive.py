"""What our code derives in the sandbox: from an action input its classification, element and
sentence; from a refused payload an event. It imports no store, so that the sandbox starts quickly.
"""

from collections.abc import Sequence, Set
from datetime import datetime
from typing import NamedTuple

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.describe import describe
from enrichment_pipeline.events.allowed import Private
from enrichment_pipeline.events.controls import name_element
from enrichment_pipeline.events.inputs import EnrichmentInput, EnrichmentOutput
from enrichment_pipeline.events.raw_event import (
    Arrival,
    EventRejectedError,
    RawEvent,
    RejectionReason,
    parse_event,
)
from enrichment_pipeline.events.touches import touch_of

# Raise this number when the same rules give another output (a better sentence, a repaired parser):
# outputs are kept by version, and those of older code must not be found again.
_CODE_VERSION = 6


def output_version(rules: Rules) -> str:
    """The version under which the action outputs of these rules are kept."""
    return f"{rules.version}.{_CODE_VERSION}"


def derive(inputs: EnrichmentInput, rules: Rules) -> EnrichmentOutput:
    """The action output of these rules for an action input."""
    classification = rules.classify(inputs.event, inputs.sub_type)
    element = name_element(inputs.elements_chain, inputs.element_text)
    if Private.NO_TEXT in (inputs.unmasked or "").split("+"):
        element = element._replace(label=None, group=None)
    touch = touch_of(inputs)
    return EnrichmentOutput(
        event_type=classification.event_type,
        action_type=classification.action_type,
        path_template=inputs.path_template,
        element_tag=element.tag,
        element_label=element.label,
        description=describe(inputs, element),
        touch=str(touch) if touch else None,
    )


class Refusal(NamedTuple):
    """Why a payload is refused on a new attempt."""

    reason: RejectionReason
    message: str


def parse_again(
    payload: bytes,
    project: str,
    arrival: Arrival,
    allowed: Set[Private],
    page_queries: Sequence[str],
    oldest: datetime,
) -> RawEvent | Refusal:
    """The event of a payload that was refused, parsed by today's rules of ingestion."""
    try:
        return parse_event(
            payload, project, arrival, allowed=allowed, oldest=oldest, page_queries=page_queries
        )
    except EventRejectedError as error:
        return Refusal(error.reason, str(error))
