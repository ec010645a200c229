"""What a person calls the element that was acted on: the word for the control, and its name.

The accessible name of W3C, simplified, as far as an elements chain has it. A click lands on the
innermost element; the control is that element or one around it. Names that programs made belong to
`made_names`, the sentence to `enrichment.describe`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

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
_NEAR = 3

_SPACE = re.compile(r"\s+")
_LETTER = re.compile(r"[^\W\d_]")


def _table(text: str) -> Mapping[str, str]:
    """The word for each of the names behind it: `button: button, btn`."""
    lines = (line.partition(":") for line in text.strip().splitlines())
    return {name.strip(): word.strip() for word, _, names in lines for name in names.split(",")}


# Other roles (`presentation`, `group`, `row`) are no controls.
_WORDS_OF_ROLES = _table("""
    button: button
    link: link
    option: option
    checkbox: checkbox
    switch: switch
    tab: tab
    slider: slider
    menu item: menuitem, menuitemcheckbox, menuitemradio
    radio button: radio
    field: textbox, spinbutton
    search field: searchbox
    list: combobox, listbox
    item: treeitem
""")
_WORDS_OF_TAGS = _table("""
    link: a, area
    button: button
    list: select
    field: textarea
    option: option
    section: summary
""")
_WORDS_OF_TYPES = _table("""
    button: submit, button, reset, image
    checkbox: checkbox
    radio button: radio
    slider: range
    search field: search
    file field: file
""")
# posthog-js leaves out the type of most inputs; their classes often show it. Checkboxes keep their
# type, so what looks like one in Bootstrap's classes is a radio button.
_WORDS_OF_CLASSES = _table("""
    radio button: radio, form check input
    checkbox: checkbox
    switch: switch, toggle
    slider: slider, range
    search field: search
""")
# The last words of the names of web components (`sl-menu-item`) and of views on phones
# (`UITabBarButton`).
_WORDS_OF_NAMES = _table("""
    button: button, btn, fab, chip
    link: link, anchor
    checkbox: checkbox, check box
    switch: switch, toggle
    radio button: radio, radio button
    tab: tab, tab button, tab bar button
    option: option, select option, select item
    menu item: menu item, menuitem, dropdown item
    list: select, dropdown, combobox, combo box, picker, listbox
    field: input, field, textarea, text area, textbox, text view
    slider: slider, range
    item: list item, view cell
    image: image, img, image view
""")
_WORDS_OF_PARTS = frozenset({"option", "button", "tab", "menu item", "checkbox", "switch"})
_PRESSED = re.compile("touchable|pressable|clickable", re.IGNORECASE)
_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

# What is no control has a word only where people have one for it.
_WORDS_OF_CONTENT = _table("""
    image: img, image, picture, svg, canvas
    heading: h1, h2, h3, h4, h5, h6
    cell: td
    column heading: th
    item: li
    video: video
    form: form
""")
_WORDS_OF_CONTENT_ROLES = _table("""
    image: img, image
    heading: heading
    cell: cell, gridcell
    column heading: columnheader
    item: listitem
""")
_LANDMARKS = _table("""
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
_FIELDS = frozenset(
    {"field", "search field", "list", "checkbox", "radio button", "switch", "slider"}
)
_CHOICES = frozenset({"checkbox", "radio button", "tab", "menu item"})
_OF_FIELDS = _FIELDS | {"label"}
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
_FRAMES = frozenset(
    {"body", "html", "main", "nav", "header", "footer", "aside", "section", "article", "dialog"}
    | {"form", "table", "ul", "ol"}
)
_CLICKABLE = frozenset(
    {"attr__onclick", "attr__aria-haspopup", "attr__aria-expanded", "attr__ng-click"}
    | {"attr__tabindex", "attr__@click", "attr__ph-label"}
)
_POINTER = re.compile(r"cursor:\s*pointer")


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


def name_element(chain: str | None, element_text: str | None) -> ElementName:
    """The name of the element that was acted on; `element_text` is its `$el_text`."""
    elements = list(islice(parse_chain(chain), _MOST_ELEMENTS)) if chain else []
    if not elements:
        return ElementName(None, _clean(element_text))
    at, word = _control(elements)
    if at is None:
        return _of_content(elements, element_text)
    control = elements[at]
    if word == "field":
        outer = (_word(one) for one in _shell(elements, at) if one.tag != "label")
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


def _control(elements: Sequence[Element]) -> tuple[int | None, str | None]:
    """The place of the control in which the element stands, and the word for it."""
    for at, element in enumerate(elements):
        word = _word(element) or _word_of_part(element, is_first=at == 0)
        if at == 0 and word == "field" and element.tag == "input":
            word = _word_of_classes(elements[:_NEAR]) or word
        if word == "label":
            # The label in the shell of a switch is part of the switch.
            around = (_word(one) for one in elements[at + 1 : at + 1 + _NEAR])
            return at, next((one for one in around if one in _FIELDS), word)
        if word:
            return at, word
        if element.tag in _FRAMES:
            break
    for at, element in enumerate(elements[: _NEAR + 1]):
        if element.tag in _FRAMES:
            break
        if _is_clickable(element):
            return at, _word_of_content(element) or _word_of_content(elements[0])
    return None, None


def _word(element: Element) -> str | None:
    """The word for a control; None for any other element."""
    get = element.attributes.get
    role = get("attr__role", "").partition(" ")[0].lower()
    if role in _WORDS_OF_ROLES:
        return _WORDS_OF_ROLES[role]
    tag = element.tag
    if tag == "input":
        return _word_of_input(element)
    if tag == "label":
        return _word_of_classes([element]) or "label"
    if word := _WORDS_OF_TAGS.get(tag):
        return word
    if get("attr__contenteditable") in {"", "true", "plaintext-only"}:
        return "field"
    return _word_of_name(tag) if "-" in tag or not tag.islower() else None


def _word_of_input(element: Element) -> str:
    kind = element.attributes.get("attr__type", "").lower()
    return _WORDS_OF_TYPES.get(kind, "field")


def _word_of_classes(elements: Iterable[Element]) -> str | None:
    named = " ".join(element.attributes.get("attr__class", "") for element in elements)
    classes = " ".join(_NAME_PART.findall(named)).lower()
    found = (word for name, word in _WORDS_OF_CLASSES.items() if f" {name} " in f" {classes} ")
    return next(found, None)


def _word_of_name(name: str) -> str | None:
    words = [part.lower() for part in _NAME_PART.findall(name)]
    for count in (3, 2, 1):
        if word := _WORDS_OF_NAMES.get(" ".join(words[-count:])):
            return word
    return "button" if _PRESSED.search(name) else None


def _word_of_part(element: Element, *, is_first: bool) -> str | None:
    """The word for what a library made a control by its class (`div.my-select-option`). A page may
    have a class of that name around much else, so it must be what was clicked, or have a state."""
    if element.tag not in {"div", "span", "li"}:
        return None
    if not is_first and not any(key.startswith("attr__aria-") for key in element.attributes):
        return None
    names = element.attributes.get("attr__class", "").split()
    found = (_word_of_name(name) for name in names if ":" not in name)
    return next((word for word in found if word in _WORDS_OF_PARTS), None)


def _is_clickable(element: Element) -> bool:
    attributes = element.attributes
    if attributes.get("attr__tabindex", "0").startswith("-"):
        return False
    is_marked = not _CLICKABLE.isdisjoint(attributes)
    return is_marked or bool(_POINTER.search(attributes.get("attr__style", "")))


def _word_of_content(element: Element) -> str | None:
    role = element.attributes.get("attr__role", "")
    return _WORDS_OF_CONTENT_ROLES.get(role) or _WORDS_OF_CONTENT.get(element.tag)


def _of_content(elements: Sequence[Element], element_text: str | None) -> ElementName:
    """The name of an element that stands in no control: of itself, or close around it."""
    first = elements[0]
    word = _word_of_content(first)
    if word is None and any(one.tag == "svg" for one in elements[: _NEAR + 1]):
        word = "image"
    if word is None and any(one.tag == "th" for one in elements[: _NEAR + 1]):
        word = "column heading"
    near = [first]
    for element in elements[1 : _NEAR + 1]:
        if element.tag in _FRAMES:
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
    word = _word(elements[at])
    shell = []
    for element in elements[at + 1 : at + 1 + _SHELL]:
        if element.tag in _FRAMES:
            break
        outer = _word(element)
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
    if word not in _FIELDS:
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
        is_list = role in _LISTS or _word(element) == "list"
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
