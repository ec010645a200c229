"""One plain sentence for what a user did, in English, past tense.

It may depend on nothing but the inputs and what the rules said of them.
"""

from enrichment_pipeline.classification import EventClassification
from enrichment_pipeline.events.elements import ElementName
from enrichment_pipeline.events.inputs import EnrichmentInput

MAX_LENGTH = 120

_VERBS = {
    ("pageview", "view"): "Viewed",
    ("navigation", "leave"): "Left",
    ("click", "click"): "Clicked",
    ("click", "rage_click"): "Rage-clicked",
    ("click", "submit"): "Submitted",
    ("click", "change"): "Changed",
}

# What people call an element, where its tag is no word of theirs.
_WORDS = {"a": "link", "img": "image", "input": "field", "textarea": "field"}


def describe(
    inputs: EnrichmentInput, classification: EventClassification, element: ElementName
) -> str:
    """The sentence: `Clicked button "Buy now" on /pricing`, `Left /pricing`, `product clicked`.

    At most 120 characters; the page is left out before anything is cut.
    """
    verb = _VERBS.get(classification)
    page = inputs.path_template
    if verb is None or not inputs.event.startswith("$"):
        sentence = inputs.event if inputs.event.startswith("$") else inputs.event.replace("_", " ")
    elif classification.event_type == "click":
        sentence = f"{verb} {_element(element)}"
    else:
        return f"{verb} {page or 'a page'}"[:MAX_LENGTH]
    with_page = f"{sentence} on {page}" if page else sentence
    return (with_page if len(with_page) <= MAX_LENGTH else sentence)[:MAX_LENGTH]


def _element(element: ElementName) -> str:
    word = _WORDS.get(element.tag or "", element.tag)
    label = f'"{element.label}"' if element.label else None
    return " ".join(part for part in (word, label) if part) or "an element"
