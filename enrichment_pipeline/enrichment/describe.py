"""One plain sentence for what a user did, in English, past tense.

It may depend on nothing but the inputs and what the rules said of them; what differs from event to
event (`events.detail`) is put behind it by the store. Whatever a page or a user wrote is masked,
made safe and, unless it is the name of an event, quoted.
"""

from collections.abc import Set

from enrichment_pipeline.classification import EventClassification
from enrichment_pipeline.events.elements import ElementName
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.events.privacy import NOTHING, Private, mask, parse_unmasked
from enrichment_pipeline.events.safe_text import cut, safe_path, safe_text

MAX_LENGTH = 120
_MAX_LABEL = 60
_MAX_NAME = 80
_MAX_PATH = 60

_VERBS = {
    ("pageview", "view"): "Viewed",
    ("navigation", "leave"): "Left",
    ("click", "click"): "Clicked",
    ("click", "rage_click"): "Rage-clicked",
    ("click", "submit"): "Submitted",
    ("click", "change"): "Changed",
}

# PostHog's own events, of which the rules say no more than that they are unknown.
_SENTENCES = {
    "$identify": "Was identified (signed in or signed up)",
    "$create_alias": "Was linked to another id",
    "$merge_dangerously": "Was merged with another person",
    "$exception": "Ran into an error",
    "$dead_click": "Clicked without any effect",
    "$screen": "Viewed a screen",
    "$set": "Had person properties set",
    "$groupidentify": "Had group properties set",
    "$feature_flag_called": "Was given a feature flag",
    "$web_vitals": "Had page speed measured",
    "$opt_in": "Opted in to tracking",
    "$copy_autocapture": "Copied text",
    "$element_viewed": "Saw an element",
    "$csp_violation": "Had content blocked by the page's security policy",
    "$ai_generation": "Got an answer from an AI model",
    "$ai_trace": "Finished an AI trace",
    "$ai_span": "Ran an AI step",
    "$ai_feedback": "Gave feedback to an AI answer",
    "$mcp_tool_call": "Called an MCP tool",
}

# What people call an element, where its tag is no word of theirs.
_WORDS = {"a": "link", "img": "image", "input": "field", "textarea": "field"}


def describe(
    inputs: EnrichmentInput, classification: EventClassification, element: ElementName
) -> str:
    """The sentence: `Clicked button "Buy now" on /pricing`, `Left /pricing`, `product clicked`.

    At most 120 characters; the page is left out before anything is cut.
    """
    unmasked = parse_unmasked(inputs.unmasked) if inputs.unmasked else NOTHING
    page = _page(inputs.path_template, unmasked)
    verb = _VERBS.get(classification)
    if not verb or not inputs.event.startswith("$"):
        sentence = _SENTENCES.get(inputs.event) or _name(inputs.event, unmasked)
    elif classification.event_type == "click":
        sentence = f"{verb} {_element(element, unmasked)}"
    else:
        return f"{verb} {page or 'a page'}"
    with_page = f"{sentence} on {page}" if page else sentence
    return with_page if len(with_page) <= MAX_LENGTH else cut(sentence, MAX_LENGTH)


def _name(event: str, unmasked: Set[Private]) -> str:
    told = event if event.startswith("$") else event.replace("_", " ")
    return safe_text(mask(told, unmasked), _MAX_NAME) or "An event without a name"


def _page(path: str | None, unmasked: Set[Private]) -> str:
    return safe_path(mask(path, unmasked), _MAX_PATH) if path else ""


def _element(element: ElementName, unmasked: Set[Private]) -> str:
    tag = element.tag and safe_text(element.tag, 20).replace(" ", "-")
    word = _WORDS.get(tag or "", tag)
    label = element.label and safe_text(mask(element.label, unmasked), _MAX_LABEL)
    quoted = f'"{label}"' if label else None
    return " ".join(part for part in (word, quoted) if part) or "an element"
