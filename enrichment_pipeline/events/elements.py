"""PostHog's elements chain: the clicked element first, then its ancestors.

The format is PostHog's (`el;el;…` with `el = tag(.class)*:(key="value")*`); parsing it and naming
the element belong here, what the click means does not.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# A chain repeats the page's whole ancestry; what names a click stands in its first elements.
MAX_CHAIN_LENGTH = 8_192
MAX_LABEL_LENGTH = 120

# A name does not begin with the semicolon that ends the element before it.
_ATTRIBUTE = re.compile(r'([^;="][^="]*)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_TAG = re.compile(r"[^.:;]+")
_SPACE = re.compile(r"\s+")

# Best name first; the list is PostHog's own order of usefulness for autocapture.
_NAMING_ATTRIBUTES = ("text", "attr__aria-label", "attr__name", "attr_id", "attr__id")

# A click on the icon or text inside one of these is a click on it.
_INTERACTIVE_TAGS = frozenset(
    {"a", "button", "form", "input", "label", "option", "select", "textarea"}
)


class Element(NamedTuple):
    """One element of a chain: its tag and its attributes (`text`, `attr_id`, `attr__…`, …)."""

    tag: str
    attributes: dict[str, str]


class ElementName(NamedTuple):
    """What to call the element that was acted on; None where the event names none."""

    tag: str | None
    label: str | None


def parse_chain(chain: str) -> Iterator[Element]:
    """The elements of a chain, the acted-on one first; what does not parse is left out."""
    position = 0
    while position < len(chain):
        match = _TAG.match(chain, position)
        tag = match[0] if match else ""
        position = match.end() if match else position
        attributes_start = chain.find(":", position)
        separator = chain.find(";", position)
        if attributes_start == -1 or (separator != -1 and separator < attributes_start):
            attributes: dict[str, str] = {}
        else:
            attributes, position = _parse_attributes(chain, attributes_start + 1)
            separator = chain.find(";", position)
        if tag:
            yield Element(tag, attributes)
        if separator == -1:
            return
        position = separator + 1


def _parse_attributes(chain: str, position: int) -> tuple[dict[str, str], int]:
    attributes: dict[str, str] = {}
    while match := _ATTRIBUTE.match(chain, position):
        name, value = match.groups()
        attributes[name] = _ESCAPE.sub(r"\1", value) if "\\" in value else value
        position = match.end()
    return attributes, position


def chain_from_list(elements: object) -> str | None:
    """The chain of the list form (`properties.$elements`) that posthog-js sends by default.

    None where `elements` is no list of objects with a `tag_name`.
    """
    if not isinstance(elements, list):
        return None
    parts = [_element_text(element) for element in elements if isinstance(element, dict)]
    return ";".join(part for part in parts if part) or None


def _element_text(element: Mapping[str, object]) -> str:
    tag = element.get("tag_name")
    if not isinstance(tag, str) or not tag:
        return ""
    values = {
        "text" if key == "$el_text" else key: value
        for key, value in element.items()
        if key not in {"tag_name", "classes"} and isinstance(value, str | int | float)
    }
    attributes = "".join(
        f'{key}="{_quoted(str(value))}"' for key, value in sorted(values.items()) if '"' not in key
    )
    classes = element.get("classes")
    names = sorted(str(name) for name in classes) if isinstance(classes, list) else []
    return f"{tag}{''.join('.' + name for name in names)}:{attributes}"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def name_element(chain: str | None, element_text: str | None) -> ElementName:
    """The tag and label of what was acted on.

    `element_text` (`$el_text`) names it best. Where the element itself has no name, the nearest
    ancestor that a person would say they clicked (a link, a button) lends its own.
    """
    label = _label(element_text)
    if not chain:
        return ElementName(None, label)
    first: Element | None = None
    for element in parse_chain(chain):
        first = first or element
        name = next(
            (found for key in _NAMING_ATTRIBUTES if (found := _label(element.attributes.get(key)))),
            None,
        )
        if element is first and name:
            return ElementName(element.tag, label or name)
        if element.tag in _INTERACTIVE_TAGS:
            return ElementName(element.tag, label or name)
    return ElementName(first.tag if first else None, label)


def _label(text: str | None) -> str | None:
    if not text:
        return None
    return _SPACE.sub(" ", text).strip()[:MAX_LABEL_LENGTH] or None
