"""Everything that is derived from one input: its classification, its element, its sentence."""

from enrichment_pipeline.classification import Rules
from enrichment_pipeline.enrichment.describe import describe
from enrichment_pipeline.events.elements import name_element
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.store.inputs import EnrichmentOutput

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
