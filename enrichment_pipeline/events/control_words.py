"""Which control an element stands in, and the word that people have for it: from tags, roles,
types, and from the names of web components, of views on phones and of classes.

The control's own name belongs to `controls`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from enrichment_pipeline.events.elements import Element

NEAR = 3
"""How many elements around another one may be part of it."""


def table_of(text: str) -> Mapping[str, str]:
    """The word for each of the names behind it: `button: button, btn`."""
    lines = (line.partition(":") for line in text.strip().splitlines())
    return {name.strip(): word.strip() for word, _, names in lines for name in names.split(",")}


# Other roles (`presentation`, `group`, `row`) are no controls.
_WORDS_OF_ROLES = table_of("""
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
_WORDS_OF_TAGS = table_of("""
    link: a, area
    button: button
    list: select
    field: textarea
    option: option
    section: summary
""")
_WORDS_OF_TYPES = table_of("""
    button: submit, button, reset, image
    checkbox: checkbox
    radio button: radio
    slider: range
    search field: search
    file field: file
""")
# posthog-js leaves out the type of most inputs; their classes often show it. Checkboxes keep their
# type, so what looks like one in Bootstrap's classes is a radio button.
_WORDS_OF_CLASSES = table_of("""
    radio button: radio, form check input
    checkbox: checkbox
    switch: switch, toggle
    slider: slider, range
    search field: search
""")
# The last words of the names of web components (`sl-menu-item`) and of views on phones
# (`UITabBarButton`).
_WORDS_OF_NAMES = table_of("""
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
_WORDS_OF_CONTENT = table_of("""
    image: img, image, picture, svg, canvas
    heading: h1, h2, h3, h4, h5, h6
    cell: td
    column heading: th
    item: li
    video: video
    form: form
""")
_WORDS_OF_CONTENT_ROLES = table_of("""
    image: img, image
    heading: heading
    cell: cell, gridcell
    column heading: columnheader
    item: listitem
""")
FIELDS = frozenset(
    {"field", "search field", "list", "checkbox", "radio button", "switch", "slider"}
)

FRAMES = frozenset(
    {"body", "html", "main", "nav", "header", "footer", "aside", "section", "article", "dialog"}
    | {"form", "table", "ul", "ol"}
)
_CLICKABLE = frozenset(
    {"attr__onclick", "attr__aria-haspopup", "attr__aria-expanded", "attr__ng-click"}
    | {"attr__tabindex", "attr__@click", "attr__ph-label"}
)
_POINTER = re.compile(r"cursor:\s*pointer")


def control_of(elements: Sequence[Element]) -> tuple[int | None, str | None]:
    """The place of the control in which the element stands, and the word for it."""
    for at, element in enumerate(elements):
        word = word_of(element) or _word_of_part(element, is_first=at == 0)
        if at == 0 and word == "field" and element.tag == "input":
            word = _word_of_classes(elements[:NEAR]) or word
        if word == "label":
            # The label in the shell of a switch is part of the switch.
            around = (word_of(one) for one in elements[at + 1 : at + 1 + NEAR])
            return at, next((one for one in around if one in FIELDS), word)
        if word:
            return at, word
        if element.tag in FRAMES:
            break
    for at, element in enumerate(elements[: NEAR + 1]):
        if element.tag in FRAMES:
            break
        if _is_clickable(element):
            return at, word_of_content(element) or word_of_content(elements[0])
    return None, None


def word_of(element: Element) -> str | None:
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


def word_of_content(element: Element) -> str | None:
    """The word for what is no control, where people have one."""
    role = element.attributes.get("attr__role", "")
    return _WORDS_OF_CONTENT_ROLES.get(role) or _WORDS_OF_CONTENT.get(element.tag)
