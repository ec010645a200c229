"""One plain sentence for what a user did, in English, past tense.

It depends on the action input alone, so that a user's own rules change no sentence; the store
appends what differs from event to event (`events.detail`). Text that a page or a user wrote is
masked, made safe and quoted, unless it is a path without spaces or the short name of an event.
"""

import re
from collections.abc import Set
from functools import lru_cache

from enrichment_pipeline.events.allowed import NOTHING, Private, parse_allowed
from enrichment_pipeline.events.controls import MAX_LABEL_LENGTH, ElementName
from enrichment_pipeline.events.inputs import EnrichmentInput
from enrichment_pipeline.events.masked import masked_path, masked_text
from enrichment_pipeline.events.raw_event import MAX_EVENT_NAME_LENGTH
from enrichment_pipeline.events.safe_text import cut, has_few_words
from enrichment_pipeline.events.targets import target_of

MAX_LENGTH = 120
_MAX_LABEL = 60
_MAX_NAME = 80
_MAX_OPTION = 40
_MAX_GROUP = 30
_MAX_TARGET = 40
# Punctuation that ends sentences, in all scripts that have their own.
_NO_NAME = re.compile(
    r"^[#*+-]|[.:,]\s|[.:]$|[!?;=¡¿؟،؛।॥።…\u2039\u203a]|//|[\u3001-\u3003\u3008-\u301f\uff01\uff0c\uff0e\uff1a\uff1b"
    r"\uff1f\uff61-\uff64]"
)
_MAX_PATH = 60

_VERBS_OF_PAGES = {"$pageview": "Viewed", "$pageleave": "Left"}
# Events about an element: the verb, with a place for the element.
_VERBS_OF_ELEMENTS = {
    "$autocapture": "Clicked {}",
    "$rageclick": "Rage-clicked {}",
    "$dead_click": "Clicked {} without any effect",
    "$dead_swipe": "Swiped {} without any effect",
    "$copy_autocapture": "Copied text from {}",
}
# By the sub-type, where that is more than a click; the last ones are those of phones.
_VERBS_OF_SUB_TYPES = {
    "submit": "Submitted {}",
    "change": "Changed {}",
    "toggle": "Changed {}",
    "value_change": "Changed {}",
    "swipe": "Swiped {}",
    "scroll": "Scrolled {}",
    "pan": "Dragged {}",
    "pinch": "Pinched {}",
    "rotation": "Rotated {}",
    "long_press": "Long-pressed {}",
    "cut": "Cut text from {}",
    "paste": "Pasted into {}",
}
_OF_CLICKS = frozenset({None, "click", "touch"})

# PostHog's own events, which the rules classify as unknown.
_SENTENCES = {
    "$identify": "Was identified (signed in or signed up)",
    "$create_alias": "Was linked to another id",
    "$merge_dangerously": "Was merged with another person",
    "$exception": "Ran into an error",
    "$dead_click": "Clicked without any effect",
    "$dead_swipe": "Swiped without any effect",
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

# Without a name and a control, only what is sure is said.
_UNNAMED = {None: "an element", "image": "an image"}


def describe(inputs: EnrichmentInput, element: ElementName) -> str:
    """The sentence: `Clicked button "Buy now" on /pricing`, `Left /pricing`, `product clicked`.

    At most 120 characters; the page is left out before anything is cut.
    """
    allowed = parse_allowed(inputs.unmasked) if inputs.unmasked else NOTHING
    page = _page(inputs.path_template, allowed)
    if verb := _VERBS_OF_PAGES.get(inputs.event):
        return f"{verb} {page or 'a page'}"
    sentence = (
        _of_element(inputs, element, allowed)
        or _SENTENCES.get(inputs.event)
        or _name(inputs.event, allowed)
    )
    with_page = f"{sentence} on {page}" if page else sentence
    return with_page if len(with_page) <= MAX_LENGTH else cut(sentence, MAX_LENGTH)


def _of_element(
    inputs: EnrichmentInput, element: ElementName, allowed: frozenset[Private]
) -> str | None:
    """The sentence of an event about an element; None if it is none, or has none to speak of."""
    form = _VERBS_OF_ELEMENTS.get(inputs.event)
    is_sure = bool(element.tag or element.label) or inputs.event not in _SENTENCES
    if form is None or not is_sure:
        return None
    if inputs.event in {"$autocapture", "$copy_autocapture"}:
        form = _VERBS_OF_SUB_TYPES.get(inputs.sub_type or "", form)
    is_click = inputs.event == "$autocapture" and inputs.sub_type in _OF_CLICKS
    if is_click and element.word == "option" and element.label:
        return _chosen(element, allowed)
    if is_click and element.is_checked is not None:
        form = "Unchecked {}" if element.is_checked else "Checked {}"
    return form.format(_element(element, allowed))


def _chosen(element: ElementName, allowed: Set[Private]) -> str:
    chosen = f"Chose {_quoted(element.label, _MAX_OPTION, allowed)}"
    group = _quoted(element.group, _MAX_GROUP, allowed)
    return f"{chosen} in {group}" if group else chosen


def _name(event: str, allowed: Set[Private]) -> str:
    spelled = event if event.startswith("$") else event.replace("_", " ")
    # Developers give events their names: these are shown where no free text is.
    allowed = allowed - {Private.NO_TEXT}
    name = masked_text(spelled, _MAX_NAME, allowed, cut_at=MAX_EVENT_NAME_LENGTH)
    if not name:
        return "An event without a name"
    # Text that is more than a name may say anything, so it is quoted like all text of strangers.
    is_name = has_few_words(name) and not _NO_NAME.search(name)
    return name if is_name else f'Sent event "{name}"'


@lru_cache(maxsize=4_096)
def _page(path: str | None, allowed: frozenset[Private]) -> str:
    return masked_path(path, _MAX_PATH, allowed) if path else ""


# As `controls.name_element`.
@lru_cache(maxsize=256)
def _element(element: ElementName, allowed: frozenset[Private]) -> str:
    label = _quoted(element.label, _MAX_LABEL, allowed)
    target = target_of(element.target, is_download=element.is_download, is_named=bool(label))
    shown = masked_path(target, _MAX_TARGET, allowed) if target else ""
    word = element.word
    if not label and not shown:
        word = _UNNAMED.get(word, word)
    around = "" if label else _quoted(element.group, _MAX_GROUP, allowed) or element.landmark
    parts = (word, label, f"→ {shown}" if shown else "", f"in {around}" if around else "")
    return " ".join(part for part in parts if part)


def _quoted(text: str | None, limit: int, allowed: Set[Private]) -> str:
    safe = masked_text(text, limit, allowed, cut_at=MAX_LABEL_LENGTH) if text else ""
    return f'"{safe}"' if safe else ""
