"""What a person calls the element that was acted on: the word for the control, and its name.

The accessible name of W3C, simplified, as far as an elements chain has it. A click lands on the
innermost element; the control is that element or one around it. Names that programs made belong to
`made_names`, the sentence to `enrichment.describe`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from enrichment_pipeline.events.control_words import (
    FIELDS,
    FRAMES,
    NEAR,
    control_of,
    table_of,
    word_of,
    word_of_content,
)
from enrichment_pipeline.events.elements import Element, parse_chain
from enrichment_pipeline.events.made_names import (
    acts_of_classes,
    icon_of,
    is_icon,
    is_made_name,
    readable,
    readable_id,
)

MAX_LABEL_LENGTH = 120

# What is farther away is the page, not the element.
_MOST_ELEMENTS = 24
# How many elements around a control may name it: the label, the shell of a web component.
_SHELL = 5

_SPACE = re.compile(r"\s+")
_LETTER = re.compile(r"[^\W\d_]")


_LANDMARKS = table_of("""
    header: header, banner
    footer: footer, contentinfo
    navigation: nav, navigation
    sidebar: aside, complementary
    dialog: dialog, alertdialog
    toolbar: toolbar
    menu: menu, menubar
    tabs: tablist
    form: form
    search: search
    table: table, grid
""")
_CHECKABLE = frozenset({"checkbox", "switch", "menu item"})
_CHOICES = frozenset({"checkbox", "radio button", "tab", "menu item"})
_OF_FIELDS = FIELDS | {"label"}
_LISTS = frozenset({"select", "listbox", "combobox", "radiogroup", "menu", "tree", "dropdown"})

_TITLES = (
    *("attr__title", "attr__data-original-title", "attr__data-bs-original-title"),
    *("attr__data-tooltip", "attr__data-title", "attr__data-label", "attr__tooltip"),
)
_LABELS = (
    *("attr__label", "attr__label-text", "attr__accessibilityLabel", "attr__accessibility-label"),
)
_IDS_OF_TESTS = re.compile(
    r"attr__(?:ph-label|test-?id|accessibility-?identifier"
    r"|data-(?:attr|hook|pw|name|ph-(?!capture-attribute-)[\w-]+"
    r"|(?:test|cy|qa|e2e|automation|track|tracking|analytics)(?:-?\w+)*|\w+-(?:name|label)))",
    re.IGNORECASE,
)
_NO_NAMES = frozenset(
    {"true", "false", "none", "null", "undefined", "click", "auto", "base", "yes", "value"}
)
# Of the frames of pages: what was clicked there is the page itself.
_IDS_OF_FRAMES = frozenset(
    {"root", "app", "main", "content", "wrapper", "container", "page", "body", "layout", "top"}
)


class ElementName(NamedTuple):
    """What a person calls the element that was acted on."""

    tag: str | None
    """Of the control; of the element itself where it stands in none. None if there is no chain."""
    label: str | None
    """Its name; None if it has none that a person could know."""
    word: str | None = None
    """`button`, `link`, `menu item`; None where people have no word for it."""
    group: str | None = None
    """What it is part of, by its name: for an option its list; where it has no name, what has one
    around it."""
    landmark: str | None = None
    """`header`, `dialog`: the part of the page, if neither it nor its group has a name."""
    is_checked: bool | None = None
    """Whether it was checked before the click, where the chain shows it."""
    target: str | None = None
    """Where a link leads, or where a form is sent; as the page has it."""
    is_download: bool = False


# One element is acted on at many pages; who derives for many inputs sorts them by their chains.
@lru_cache(maxsize=256)
def name_element(chain: str | None, element_text: str | None) -> ElementName:
    """The name of the element that was acted on; `element_text` is its `$el_text`."""
    elements = parse_chain(chain)[:_MOST_ELEMENTS] if chain else ()
    if not elements:
        return ElementName(None, _clean(element_text))
    at, word = control_of(elements)
    if at is None:
        return _of_content(elements, element_text)
    control = elements[at]
    if word == "field":
        outer = (word_of(one) for one in _shell(elements, at) if one.tag != "label")
        word = next(filter(None, outer), word)
    link = next((one for one in elements[: at + 1] if one.tag in {"a", "area"}), None)
    label = _name(elements, at, word, element_text)
    group, landmark = _around(elements[at + 1 :], word, label)
    return ElementName(
        _tag(control),
        label,
        word,
        group,
        landmark,
        _state(control) if word in _CHECKABLE else None,
        link.attributes.get("attr__href") if link else None,
        bool(link and "attr__download" in link.attributes),
    )


def _of_content(elements: Sequence[Element], element_text: str | None) -> ElementName:
    """The name of an element that stands in no control: of itself, or close around it."""
    first = elements[0]
    word = word_of_content(first)
    if word is None and any(one.tag == "svg" for one in elements[: NEAR + 1]):
        word = "image"
    if word is None and any(one.tag == "th" for one in elements[: NEAR + 1]):
        word = "column heading"
    near = [first]
    for element in elements[1 : NEAR + 1]:
        if element.tag in FRAMES:
            break
        near.append(element)
    is_form = first.tag == "form"
    label = (
        (None if is_form or is_icon(first) else _text_of(first, element_text))
        or _given(near)
        or _icon(near[:1])
        or _field_name(first)
        or _id(first)
        or (_text_of(first, element_text) if is_form else None)
    )
    group, landmark = _around(elements[1:], word, label)
    target = first.attributes.get("attr__action") if is_form else None
    return ElementName(_tag(first), label, word, group, landmark, target=target)


def _name(
    elements: Sequence[Element], at: int, word: str | None, element_text: str | None
) -> str | None:
    control, inner = elements[at], elements[:at]
    icon = _icon([*inner, control])
    if any(map(is_icon, inner)):
        icon = icon or readable(element_text or inner[0].attributes.get("text") or "")
    shell = _shell(elements, at)
    text = _text(control, inner, element_text)
    if text and not _is_weak(text):
        return text
    return (
        _given([control, *inner], tests=False)
        or _value(control, word)
        or _attribute(control, "attr__placeholder")
        or _label_around(shell, word)
        or _given(shell, tests=False)
        # Of `3+` beside a bell, the bell says more; of a price, the price.
        or (icon or text if text and any(map(str.isdigit, text)) else None)
        or _test_id([control, *inner, *shell])
        or icon
        or _icon(shell)
        or text
        or _choice(control, word)
        or _field_name(control)
        or next(filter(None, map(_id, [control, *shell])), None)
        or _act(control, word)
    )


def _shell(elements: Sequence[Element], at: int) -> Sequence[Element]:
    """The web components around a control of which it is the inside, and labels around it."""
    word = word_of(elements[at])
    shell = []
    for element in elements[at + 1 : at + 1 + _SHELL]:
        if element.tag in FRAMES:
            break
        outer = word_of(element)
        is_outside = "-" in element.tag and (outer == word or {outer, word} <= _OF_FIELDS)
        if element.tag == "label" or is_outside:
            shell.append(element)
    return shell


def _text(control: Element, inner: Sequence[Element], element_text: str | None) -> str | None:
    """The text of a control: its own, or that of the part that was clicked, whichever is more."""
    own = _text_of(control, None if inner else element_text)
    # Of an icon font, the text is the name of the icon.
    if not inner or any(map(is_icon, inner)):
        return own
    clicked = _text_of(inner[0], element_text)
    if own and (clicked is None or clicked in own):
        return own
    return clicked or next((text for one in inner if (text := _text_of(one, None))), None)


def _text_of(element: Element, element_text: str | None) -> str | None:
    return _clean(element_text) or _clean(element.attributes.get("text"))


def _is_weak(text: str) -> bool:
    """Whether a text says little: `3+`, an arrow, an emoji. Any name that was given says more."""
    return not _LETTER.search(text) or len(text) == 1


def _given(elements: Iterable[Element], *, tests: bool = True) -> str | None:
    """A name that was given for people, or for tests."""
    elements = list(elements)
    for keys in (("attr__aria-label",), _LABELS, _TITLES, ("attr__alt",)):
        for element in elements:
            for key in keys:
                if found := _attribute(element, key):
                    return found
    return _test_id(elements) if tests else None


def _test_id(elements: Iterable[Element]) -> str | None:
    for element in elements:
        for key, value in element.attributes.items():
            if _IDS_OF_TESTS.fullmatch(key) and (found := _clean(readable(value))):
                return found if found.lower() not in _NO_NAMES else None
    return None


def _value(control: Element, word: str | None) -> str | None:
    is_seen = word == "option" or (word == "button" and control.tag == "input")
    return _attribute(control, "attr__value") if is_seen else None


def _act(control: Element, word: str | None) -> str | None:
    act = acts_of_classes(control)
    return None if act and act in (word or "") else act


def _choice(control: Element, word: str | None) -> str | None:
    """The value of one of several choices, if people can read it."""
    value = _attribute(control, "attr__value") if word in _CHOICES else None
    is_read = value is not None and value.lower() not in _NO_NAMES and readable(value)
    return value if is_read else None


def _label_around(shell: Sequence[Element], word: str | None) -> str | None:
    if word not in FIELDS:
        return None
    label = next((one for one in shell if one.tag == "label"), None)
    text = _clean(label.attributes.get("text")) if label else None
    return text.rstrip(" :*") or None if text else None


def _icon(elements: Iterable[Element]) -> str | None:
    return next((icon for one in elements if (icon := icon_of(one))), None)


def _attribute(element: Element, key: str) -> str | None:
    return _clean(element.attributes.get(key))


def _field_name(element: Element) -> str | None:
    name = _attribute(element, "attr__name")
    return None if name is None or is_made_name(name) else name


def _id(element: Element) -> str | None:
    value = _attribute(element, "attr__id") or _attribute(element, "attr_id")
    return None if value is None or value.lower() in _IDS_OF_FRAMES else readable_id(value)


def _around(
    elements: Sequence[Element], word: str | None, label: str | None
) -> tuple[str | None, str | None]:
    """The name of what an option, or something without a name, is part of, or its landmark."""
    if label and word != "option":
        return None, None
    landmark = None
    for element in elements:
        role = element.attributes.get("attr__role", element.tag)
        is_list = role in _LISTS or word_of(element) == "list"
        if not label or is_list:
            name = _given([element])
            if not name and (is_list or element.tag == "form"):
                name = _field_name(element) or _id(element) or _action(element)
            if name:
                return name, None
        landmark = landmark or _LANDMARKS.get(role)
    return None, None if label else landmark


def _action(form: Element) -> str | None:
    """What a form is for, by the last part of the path to which it is sent."""
    path = form.attributes.get("attr__action", "").partition("?")[0].rstrip("/")
    return readable(path.rpartition("/")[2]) if "/" in path else None


def _state(control: Element) -> bool | None:
    # posthog-js reads the page before the page reacts to the click.
    return _STATES.get(control.attributes.get("attr__aria-checked", ""))


_STATES: Mapping[str, bool] = {"true": True, "false": False}


def _tag(element: Element) -> str | None:
    """The tag; None if it is the beginning of an address, whose dots end a tag."""
    return None if "@" in element.tag else element.tag


def _clean(text: str | None) -> str | None:
    if not text:
        return None
    return _SPACE.sub(" ", text).strip()[:MAX_LABEL_LENGTH] or None
