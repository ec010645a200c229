"""PostHog's elements chain: the clicked element first, then its ancestors.

The format is PostHog's (`el;el;…` with `el = tag(.class)*:(key="value")*`); parsing it belongs
here, what people call its elements to `controls`.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

# A chain repeats all ancestors in the page; the name of a click is in its first elements.
MAX_CHAIN_LENGTH = 8_192

# The tag, the classes, and the colon before the attributes. Class names hold colons and equals
# signs too (Tailwind: `hover:underline`, `data-[state=open]:flex`), so it is the first colon that
# is followed by an attribute's name.
_HEAD = re.compile(r'([^.:;"]*)[^;"]*?(?::(?=attr__|[^".:;=]+=")|(?=[;"])|\Z)')
_ATTRIBUTE = re.compile(r'([^;="]+)="((?:[^"\\]|\\.)*)"', re.DOTALL)
# The rest up to the semicolon that ends the element; a semicolon inside quotes does not.
_REST = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*")*', re.DOTALL)
# PostHog escapes only quotes: any other backslash is part of the text.
_ESCAPE = re.compile(r'\\(["\\])')
# Characters that would end a name or an element if they were part of a name.
_SYNTAX = re.compile('[";=]')


class Element(NamedTuple):
    """One element of a chain: its tag and its attributes (`text`, `attr_id`, `attr__…`, …)."""

    tag: str
    attributes: dict[str, str]


# Its name and its touch are of the same chain.
@lru_cache(maxsize=16)
def parse_chain(chain: str) -> tuple[Element, ...]:
    """The elements of a chain, the acted-on one first; what cannot be parsed is left out."""
    return tuple(_elements(chain))


def _elements(chain: str) -> Iterator[Element]:
    position = 0
    while head := _HEAD.match(chain, position):
        attributes, position = _parse_attributes(chain, head.end())
        if head[1]:
            yield Element(head[1], attributes)
        if rest := _REST.match(chain, position):
            position = rest.end()
        if not chain.startswith(";", position):
            return  # at its end, or cut off inside quotes
        position += 1


def _parse_attributes(chain: str, position: int) -> tuple[dict[str, str], int]:
    attributes: dict[str, str] = {}
    while match := _ATTRIBUTE.match(chain, position):
        name, value = match.groups()
        attributes[name] = _ESCAPE.sub(r"\1", value) if "\\" in value else value
        position = match.end()
    return attributes, position


def chain_from_list(elements: object) -> str | None:
    """The chain from the list form (`properties.$elements`) that posthog-js sends by default.

    None if `elements` is not a list of objects with a `tag_name`.
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
        f'{key}="{_quoted(str(value))}"'
        for key, value in sorted(values.items())
        if key and not _SYNTAX.search(key)
    )
    classes = element.get("classes")
    # PostHog removes the quotes from class names too.
    names = [_SYNTAX.sub("", str(name)) for name in classes] if isinstance(classes, list) else []
    return f"{tag}{''.join('.' + name for name in sorted(names))}:{attributes}"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
