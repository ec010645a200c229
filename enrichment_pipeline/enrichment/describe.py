"""One plain sentence for what a user did, in English, past tense.

It depends on the action input alone, so that a user's own rules change no sentence; the store
appends what differs from event to event (`events.detail`). Text that a page or a user wrote is
masked, made safe and quoted, unless it is a path without spaces or the short name of an event.
"""

import re
from collections.abc import Set

from enrichment_pipeline.events.allowed import NOTHING, Private, parse_allowed
from enrichment_pipeline.events.elements import MAX_LABEL_LENGTH, ElementName
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.events.masked import masked_path, masked_text, masked_word
from enrichment_pipeline.events.raw_event import MAX_EVENT_NAME_LENGTH
from enrichment_pipeline.events.safe_text import cut, has_few_words

MAX_LENGTH = 120
_MAX_LABEL = 60
_MAX_NAME = 80
_MAX_TAG = 20
# Punctuation that ends sentences, in all scripts that have their own.
_NO_NAME = re.compile(
    r"^[#*+-]|[.:,]\s|[.:]$|[!?;=¡¿؟،؛।॥።…\u2039\u203a]|//|[\u3001-\u3003\u3008-\u301f\uff01\uff0c\uff0e\uff1a\uff1b"
    r"\uff1f\uff61-\uff64]"
)
_MAX_PATH = 60

_VERBS_OF_PAGES = {"$pageview": "Viewed", "$pageleave": "Left"}
_VERBS_OF_ELEMENTS = {"$autocapture": "Clicked", "$rageclick": "Rage-clicked"}
# `$autocapture` by its sub-type, where that is more than a click.
_VERBS_OF_SUB_TYPES = {"submit": "Submitted", "change": "Changed"}

# PostHog's own events, which the rules classify as unknown.
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

# Names of elements for people, where the tag is not a usual word.
_WORDS = {"a": "link", "img": "image", "input": "field", "textarea": "field"}


def describe(inputs: EnrichmentInput, element: ElementName) -> str:
    """The sentence: `Clicked button "Buy now" on /pricing`, `Left /pricing`, `product clicked`.

    At most 120 characters; the page is left out before anything is cut.
    """
    allowed = parse_allowed(inputs.unmasked) if inputs.unmasked else NOTHING
    page = _page(inputs.path_template, allowed)
    if verb := _VERBS_OF_PAGES.get(inputs.event):
        return f"{verb} {page or 'a page'}"
    if verb := _verb_of_element(inputs):
        sentence = f"{verb} {_element(element, allowed)}"
    else:
        sentence = _SENTENCES.get(inputs.event) or _name(inputs.event, allowed)
    with_page = f"{sentence} on {page}" if page else sentence
    return with_page if len(with_page) <= MAX_LENGTH else cut(sentence, MAX_LENGTH)


def _verb_of_element(inputs: EnrichmentInput) -> str | None:
    verb = _VERBS_OF_ELEMENTS.get(inputs.event)
    if inputs.event == "$autocapture":
        return _VERBS_OF_SUB_TYPES.get(inputs.sub_type or "", verb)
    return verb


def _name(event: str, allowed: Set[Private]) -> str:
    spelled = event if event.startswith("$") else event.replace("_", " ")
    name = masked_text(spelled, _MAX_NAME, allowed, cut_at=MAX_EVENT_NAME_LENGTH)
    if not name:
        return "An event without a name"
    # Text that is more than a name may say anything, so it is quoted like all text of strangers.
    is_name = has_few_words(name) and not _NO_NAME.search(name)
    return name if is_name else f'Sent event "{name}"'


def _page(path: str | None, allowed: Set[Private]) -> str:
    return masked_path(path, _MAX_PATH, allowed) if path else ""


def _element(element: ElementName, allowed: Set[Private]) -> str:
    tag = masked_word(element.tag, _MAX_TAG) if element.tag else ""
    # A tag that is no name would stand in quotes, as the label does.
    word = None if tag.startswith('"') else _WORDS.get(tag, tag)
    label = element.label and masked_text(
        element.label, _MAX_LABEL, allowed, cut_at=MAX_LABEL_LENGTH
    )
    quoted = f'"{label}"' if label else None
    return " ".join(part for part in (word, quoted) if part) or "an element"
