"""What our code makes of data, in the sandbox: of an input its classification, its element, its
sentence; of a payload that was refused an event. It knows no store: the sandbox starts quickly.
"""

from collections.abc import Set
from datetime import datetime
from typing import NamedTuple

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.describe import describe
from enrichment_pipeline.events.allowed import Private
from enrichment_pipeline.events.elements import name_element
from enrichment_pipeline.events.inputs import EnrichmentInput, EnrichmentOutput
from enrichment_pipeline.events.raw_event import (
    Arrival,
    EventRejectedError,
    RawEvent,
    Reason,
    parse_event,
)

# Counts up when the same rules would give another output (a better sentence, a mended parser):
# outputs are kept by version, and those of older code must not be found again.
_CODE_VERSION = 3


def output_version(rules: Rules) -> str:
    """The version under which the outputs of these rules are kept."""
    return f"{rules.version}.{_CODE_VERSION}"


def derive(inputs: EnrichmentInput, rules: Rules) -> EnrichmentOutput:
    """What these rules say of an input."""
    classification = rules.classify(inputs.event, inputs.sub_type)
    element = name_element(inputs.elements_chain, inputs.element_text)
    return EnrichmentOutput(
        event_type=classification.event_type,
        action_type=classification.action_type,
        path_template=inputs.path_template,
        element_tag=element.tag,
        element_label=element.label,
        description=describe(inputs, element),
    )


class Refusal(NamedTuple):
    """Why a payload is refused again."""

    reason: Reason
    message: str


def parse_again(
    payload: bytes, project: str, arrival: Arrival, unmasked: Set[Private], oldest: datetime
) -> RawEvent | Refusal:
    """The event of a payload that was refused, as it would be let in now."""
    try:
        return parse_event(payload, project, arrival, unmasked=unmasked, oldest=oldest)
    except EventRejectedError as error:
        return Refusal(error.reason, str(error))
