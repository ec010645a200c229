"""Text of users and pages, made safe for a prompt: one line, no control characters, no markup,
nothing that ends the quotes around it.

Private data are masked by `privacy`; characters that PostgreSQL refuses belong to `text`.
"""

import re
import unicodedata

CUT = "…"

MOST_WORDS = 6
"""Text with more words is a sentence and not a name, and is quoted."""

# Text this long is cut before it is cleaned; the rest is never shown.
_READ_AT_MOST = 4_096

# Invisible, or blank without being a space: tags of plane 14 and variation selectors can spell
# whole sentences for models, direction marks turn text around, fillers look like spaces.
_UNSEEN = re.compile(
    "[\\u034f\\u17b4\\u17b5\\u180b-\\u180f\\ufe00-\\ufe0d\\ufff0-\\uffff\\U000e0000-\\U000e0fff]"
)
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_CONTROL = frozenset({"Cc", "Cf", "Cs"})
_NO_CHARACTER = frozenset({"Co", "Cn"})

# Persian and the scripts of India need joiners within words, as do emoji, which also have variants.
# Elsewhere joiners are invisible too, and split text that should be recognized.
_JOINERS = "\u200c\u200d"
_VARIANTS = "\ufe0e\ufe0f"
_JOINED = "\\u0590-\\u1cff\\u2190-\\u2bff\\ua800-\\uabff\\ufe0f\\U0001f000-\\U0001faff"
_STRAY_VARIANT = re.compile(
    f"(?<![#*0-9©®\\u203c-\\u3299\\U0001f000-\\U0001faff])[{_VARIANTS}]"
    f"|(?<=[#*0-9])[{_VARIANTS}](?!\\u20e3)"
)
_STRAY_JOINER = re.compile(
    f"(?<![{_JOINED}])[{_JOINERS}]|[{_JOINERS}](?![{_JOINED}])|(?<=\\d)[{_JOINERS}]|[{_JOINERS}](?=\\d)"
)
_ACCENTS = "[\\u0300-\\u036f\\u1ab0-\\u1aff\\u1dc0-\\u1dff\\u20d0-\\u20ff]"
_MARK = re.compile(_ACCENTS)
# No written language puts more of these on one letter.
_MARKS = re.compile(f"({_ACCENTS}{{2}}){_ACCENTS}+")
_SPACES = re.compile(r" {2,}")

# A word counts as eight letters, or three in scripts without capitals; in the square scripts of
# China, Japan and Korea each character counts as one word.
_WORD = 24
_WIDE = frozenset({"W", "F", "H"})
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# Characters that open a tag, a code block, a link, a template or a role in the formats of prompts,
# or end a quotation. Each is replaced by a look-alike that does not.
_LOOK_ALIKES = {
    "'": '`"“”„‟«»″ʺ〝〞〟❝❞＂｀',
    "‹": "<＜﹤",
    "›": ">＞﹥",
    "(": "[{［｛",
    ")": "]}］｝",
    "/": "|\\｜＼",
    "_": "▁",
}
_MARKUP = str.maketrans(
    {markup: instead for instead, found in _LOOK_ALIKES.items() for markup in found}
)
# ASCII's punctuation, except for characters that are usual in names.
_NO_WORD = re.compile(r"[\s!-,/:-@\[-^`{-~‹›]+")
_TORN_ESCAPE = re.compile(f"%[0-9A-Fa-f]?{CUT}")
_RUNS = re.compile(r"([#*_~=+-])\1{2,}")
# ASCII text with none of these is harmless as it is: nearly all text.
_PLAIN = re.compile(r"(?:[!#-;=?-Z^_a-z~]|(?<! ) (?! ))*")


class _Seen(dict[int, str | int]):
    """The replacement of a character on the one line of `visible`: itself, nothing, or a space."""

    def __missing__(self, code: int) -> str | int:
        character = chr(code)
        category = unicodedata.category(character)
        seen: str | int = code
        if character in _JOINERS:
            pass
        elif character.isspace() or character in _BLANK or category in _NO_CHARACTER:
            seen = " "
        elif category in _CONTROL or _UNSEEN.match(character):
            seen = ""
        if code < _REMEMBERED:
            self[code] = seen
        return seen


_REMEMBERED = 0x10000
_SEEN = _Seen()


def safe_text(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters, harmless in a prompt; it may be empty.

    Idempotent: safe text stays as it is.
    """
    plain = visible(text[:_READ_AT_MOST])
    if not (plain.isascii() and _PLAIN.fullmatch(plain)):
        harmless = plain.translate(_MARKUP)
        # Joiners beside a look-alike are removed, although its original could be joined.
        plain = visible(harmless) if harmless != plain else plain
    return cut(_RUNS.sub(r"\1\1", plain), limit)


def visible(text: str) -> str:
    """The visible part of `text`, on one line: no invisible characters, single spaces.

    Letters of all scripts stay, with the joiners that their words and emoji are made of.
    """
    before = None
    # Removing characters brings others together, which may then be stray marks, or one letter.
    while text != before and not (text.isascii() and text.isprintable()):
        before = text
        text = unicodedata.normalize("NFC", text.translate(_SEEN))
        text = _MARKS.sub(r"\1", _STRAY_JOINER.sub("", _STRAY_VARIANT.sub("", text)))
    return _SPACES.sub(" ", text).strip()


def cut(text: str, limit: int) -> str:
    """`text` with at most `limit` characters; a mark shows the cut. Quotes that were cut are
    closed: text that follows is not inside them."""
    if len(text) <= limit:
        return text
    short = _without_end(text, limit - len(CUT))
    if short.count('"') % 2:
        short = _without_end(text, limit - len(CUT) - 1)
        closing = '"' if short.count('"') % 2 else ""
        return f"{short.rstrip()}{CUT}{closing}" if short else ""
    return short.rstrip() + CUT if short else ""


def _without_end(text: str, end: int) -> str:
    # Never within one letter: a base without its accent is another letter.
    while end > 0 and (unicodedata.category(text[end])[0] == "M" or text[end - 1] in _JOINERS):
        end -= 1
    return text[: max(end, 0)]


def has_few_words(text: str, most: int = MOST_WORDS) -> bool:
    """Whether `text` has no more words than a name.

    Words are counted by letters, not by spaces: many scripts have none, and text with hyphens,
    underscores or camel case instead can be read as well.
    """
    words = letters = 0
    for character in _HUMP.sub(" ", text):
        if share := _share_of_word(character):
            letters += share
        # An accent belongs to the letter before it.
        elif unicodedata.category(character) != "Mn":
            words += -(-letters // _WORD)
            letters = 0
    return words - (-letters // _WORD) <= most


def _share_of_word(character: str) -> int:
    if not character.isalnum():
        # Vowels of many scripts are marks; accents are not vowels.
        is_letter = unicodedata.category(character)[0] == "M" and not _MARK.match(character)
        return _WORD // 3 if is_letter else 0
    if unicodedata.east_asian_width(character) in _WIDE:
        return _WORD
    has_case = character.lower() != character.upper()
    return _WORD // 8 if has_case or character.isdigit() else _WORD // 3


def safe_word(text: str, limit: int) -> str:
    """A name made safe like `safe_text`, as one word without quotes (`attr_id`, `my-tag`); with
    more words than a name, it is quoted, and stays so."""
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    word = _NO_WORD.sub("_", safe_text(text, _READ_AT_MOST))
    word = safe_text(word, _READ_AT_MOST).strip("_")
    if word and (is_quoted or not has_few_words(word)):
        word = f'"{word}"'
    return cut(word, limit)


def safe_path(path: str, limit: int) -> str:
    """A path made safe like `safe_text`, without spaces: a sentence in it cannot be taken for one
    of ours. A path in a script without spaces is quoted."""
    safe = safe_text(path, _READ_AT_MOST).replace(" ", "%20")
    if not safe.isascii():
        of_such = "".join(one if _share_of_word(one) > _WORD // 8 else " " for one in safe)
        safe = safe if has_few_words(of_such) else f'"{safe}"'
    return _TORN_ESCAPE.sub(CUT, cut(safe, limit))
