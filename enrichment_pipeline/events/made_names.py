"""Names in the code of pages: which of them programs made (`:r1:`, `headlessui-menu-button-7`), and
those that people made, in their words (`archive-conversation` → `archive conversation`).
"""

import re

from enrichment_pipeline.events.elements import Element
from enrichment_pipeline.events.masked import masked_line


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SEPARATOR = re.compile(r"[\W_]+")
_SHORTEST_WORD = 3
_VOWEL = re.compile(r"[aeiouy]", re.IGNORECASE)
_NO_VOWELS = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}|\A[bcdfghjklmnpqrstvwxz]{4}\Z", re.IGNORECASE)
_ABBREVIATIONS = _set("html http https")
_HEX = re.compile(r"[a-f]{8,}", re.IGNORECASE)
# Counters of React in base 32 (`:ra:`, `«ra»`, `_R_ab_`), and templates that were not filled in.
_MARKED = re.compile(r":\w*:|[«»{}$#@%\ufffd]|(?:^|_)[rR]_\w*_")
_LAST_DIGIT = re.compile(r"(?<=[a-z]{3})\d\Z")
_MASK = re.compile(r"[\[(]\w+[\])]")
_FEWEST_LETTERS = 3
_MOST_SHORT = 3
# Libraries that number what they render; the number may be in letters.
_LIBRARIES = _set("""
    radix headlessui mui ember ext downshift cdk mat chakra mantine ariakit reka bits melt zag tippy
    popper floating uid uuid guid gen auto yui dijit gwt kendo jquery bvid reach rc antd vue
    primevue primereact ark kobalte tamagui nuxt lit lwc aura sap oj datatables
""")
# What kind of element it is.
_KINDS = _set("""
    button btn link input field select option checkbox radio switch toggle tab panel label item
    list row col column cell div span element el node id component control trigger content
    container wrapper root group view text box react form listbox combobox popup popover
    dropdown overlay dialog modal tooltip portal
""")
_BUTTONS = _set("button btn link icon wrapper")
# What controls do; a class that says so (`close-modal`) names a control that has no other name.
_ACTS = _set("""
    close next prev previous search menu toggler play pause delete remove edit add cart like
    share copy download expand back logo avatar hamburger dismiss settings filter sort bookmark
    favorite favourite wishlist login logout checkout zoom mute fullscreen refresh reload upload
    save send cancel help home profile notifications calendar attach emoji reply undo redo print
    increment decrement plus minus
""")

_ICON_CLASS = re.compile(
    r"(?:^|\s)(?:fa|bi|mdi|ti|ri|la|pi|bx|uil|icon|icons?|glyphicon|lucide|octicon|feather|anticon"
    r"|ion|tabler-icon|codicon|dashicons|flaticon|material-icons)-([a-z][a-z0-9-]*)"
)
_NO_ICON = _set("""
    xs sm lg xl fw spin pulse solid regular light thin brands duotone inverse border pull stack
    rotate flip li ul beat fade bounce shake layers text swap opacity icon size svg w h wrapper
    container button btn left right only small medium large white black primary secondary outline
""")
_ICON_ENDS = _set("""
    icon icons fill filled outline outlined outlines line alt o f b svg
""")
_ICON_NAMES = ("attr__data-icon", "attr__icon", "attr__data-lucide", "attr__data-feather")
_FRAGMENT = re.compile(r"#(?:icons?-|i-)?([A-Za-z][\w-]*)\Z")


def readable(name: str) -> str | None:
    """A name in the words of which it is made; without the parts that programs made. None if
    nothing is left."""
    if " " in name.strip():
        return name
    words = [word for word in _words(name) if not (_is_counter(word) or _HEX.fullmatch(word))]
    if words and words[0].lower() in _LIBRARIES:
        words = words[1:]
    if len(words) > 1 and words[-1].lower() == "icon":
        words = words[:-1]
    if not any(_is_word(word) for word in words):
        return None
    return " ".join(word.lower() for word in words)


def readable_id(name: str) -> str | None:
    """The id of an element in words; None if a program made it. A number in it counts: it is mostly
    a counter, and another one on the next page. But for one digit at the end of a word, which
    distinguishes the fields of examples (`inputEmail4`) and goes."""
    name = _LAST_DIGIT.sub("", name)
    words = [word.lower() for word in _words(name)]
    is_made = name.startswith("__") or _MARKED.search(name) or any(map(str.isdigit, name))
    if not words or is_made or words[0] in _LIBRARIES or _is_jumbled(words):
        return None
    says_more = any(len(word) > 1 and word not in _KINDS for word in words)
    return " ".join(words) if says_more else None


def is_made_name(name: str) -> bool:
    """Whether a program made the name of a field. People number some (`address_1`), and call others
    `q`."""
    words = _words(name)
    is_made = not words or any(_is_counter(word) for word in words)
    return is_made or bool(_MARKED.search(name)) or _is_jumbled(words)


def is_icon(element: Element) -> bool:
    """Whether an element shows an icon, and is hidden from those who have it read to them."""
    get = element.attributes.get
    is_hidden = get("attr__aria-hidden") == "true"
    return is_hidden or "material-" in get("attr__class", "") or element.tag.endswith("-icon")


def icon_of(element: Element) -> str | None:
    """The name of the icon that an element shows, by the habits of libraries of icons."""
    get = element.attributes.get
    found = [value for key in _ICON_NAMES if (value := get(key))]
    classes = get("attr__class", "")
    if is_icon(element) and (text := get("text")):
        found.append(text)
    if element.tag == "use":
        link = _FRAGMENT.search(get("attr__href") or get("attr__xlink:href") or "")
        found += [link[1]] if link else []
    if element.tag.endswith("icon") and (name := get("attr__name")):
        found.append(name)
    found += _ICON_CLASS.findall(classes)
    return next((icon for one in found if (icon := _icon_name(one))), None)


def acts_of_classes(element: Element) -> str | None:
    """What an element does, by the names of its classes: `close modal`."""
    for name in element.attributes.get("attr__class", "").split():
        words = [word.lower() for word in _words(name) if word.isalpha()]
        first = next((at for at, word in enumerate(words) if word in _ACTS), None)
        if first is not None and ":" not in name:
            rest = words[first:]
            return " ".join(word for word in rest if word not in _BUTTONS)
    return None


def _icon_name(name: str) -> str | None:
    words = [word.lower() for word in _words(name) if word.isalpha()]
    while len(words) > 1 and words[-1] in _ICON_ENDS:
        words.pop()
    if not words or words[0] in _NO_ICON or not any(_is_word(word) for word in words):
        return None
    return " ".join(words)


def _words(name: str) -> list[str]:
    # Masked first: the parts of an address would be words.
    public = _MARKED.sub(" ", _MASK.sub(" ", masked_line(name)))
    return [word for word in _SEPARATOR.split(_HUMP.sub(" ", public)) if word]


def _is_word(word: str) -> bool:
    if not word.isascii():
        return any(map(str.isalpha, word))
    return len(word) >= _SHORTEST_WORD and word.isalpha() and bool(_VOWEL.search(word))


def _is_jumbled(words: list[str]) -> bool:
    """Whether letters were drawn at random: without vowels, or with capitals anywhere."""
    if len(words) > _MOST_SHORT and sum(map(len, words)) < _FEWEST_LETTERS * len(words):
        return True
    return any(
        (_NO_VOWELS.search(word) and word.lower() not in _ABBREVIATIONS) or _HEX.fullmatch(word)
        for word in words
    )


def _is_counter(word: str) -> bool:
    """Whether a part of a name is a long number, or letters and digits mixed."""
    if word.isdecimal():
        return len(word) > _SHORTEST_WORD
    digits = sum(map(str.isdecimal, word))
    return digits > 1 and word.isascii()
