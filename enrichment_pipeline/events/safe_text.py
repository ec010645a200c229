"""Text that people and pages wrote, made fit to stand in a prompt: one line, no control characters,
no markup, nothing that ends the quotes around it.

What is private is masked by `privacy`; characters that PostgreSQL refuses belong to `text`.
"""

import re
import unicodedata

CUT = "…"

# A cut text may still hold characters of any length; nobody reads past this.
_READ_AT_MOST = 4_096

# Not seen, or blank though no space: tags of plane 14 and variation selectors spell whole sentences
# for models, marks of direction turn text around, fillers pass for spaces.
_UNSEEN = re.compile(
    "[\\u034f\\u17b4\\u17b5\\u180b-\\u180f\\ufe00-\\ufe0d\\ufff0-\\uffff\\U000e0000-\\U000e0fff]"
)
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
_CONTROL = frozenset({"Cc", "Cf", "Cs"})
_NO_CHARACTER = frozenset({"Co", "Cn"})

# Persian and the scripts of India need joiners within words, emoji too; and emoji have variants.
# Anywhere else these are not seen either, and split what should be recognized.
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
# No script that is written has more of these on one letter.
_MARKS = re.compile(
    "([\\u0300-\\u036f\\u1ab0-\\u1aff\\u1dc0-\\u1dff\\u20d0-\\u20ff]{2})[\\u0300-\\u036f\\u1ab0-\\u1aff\\u1dc0-\\u1dff\\u20d0-\\u20ff]+"
)
_SPACES = re.compile(r" {2,}")

# What opens a tag, a code block, a link, a template or a role in the formats that prompts are made
# of, or ends a quotation. Each has a look-alike that does not.
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
# ASCII's punctuation, but for what names are made of.
_NO_WORD = re.compile(r"[\s!-,/:-@\[-^`{-~‹›]+")
_RUNS = re.compile(r"([#*_~=+-])\1{2,}")
# ASCII with none of these is harmless as it is: nearly all text.
_PLAIN = re.compile(r"(?:[!#-;=?-Z^_a-z~]|(?<! ) (?! ))*")


class _Seen(dict[int, str | int]):
    """What each character becomes on the one line of `visible`; itself, nothing, or a space."""

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

    Idempotent: what is safe stays as it is.
    """
    plain = visible(text[:_READ_AT_MOST])
    if not (plain.isascii() and _PLAIN.fullmatch(plain)):
        harmless = plain.translate(_MARKUP)
        # A look-alike is joined to nothing, where what it stands for was.
        plain = visible(harmless) if harmless != plain else plain
    return cut(_RUNS.sub(r"\1\1", plain), limit)


def visible(text: str) -> str:
    """What is seen of `text`, on one line: no characters that are not seen, single spaces.

    Letters of all scripts stay, with the joiners that their words and emoji are made of.
    """
    before = None
    # What goes brings together what stood apart, which may be stray then, or one letter.
    while text != before and not (text.isascii() and text.isprintable()):
        before = text
        text = unicodedata.normalize("NFC", text.translate(_SEEN))
        text = _MARKS.sub(r"\1", _STRAY_JOINER.sub("", _STRAY_VARIANT.sub("", text)))
    return _SPACES.sub(" ", text).strip()


def cut(text: str, limit: int) -> str:
    """`text` with at most `limit` characters; a cut shows."""
    if len(text) <= limit:
        return text
    # Not within what belongs to one letter: a base without its accent is another letter.
    end = limit - len(CUT)
    while end > 0 and (unicodedata.category(text[end])[0] == "M" or text[end - 1] in _JOINERS):
        end -= 1
    return text[:end].rstrip() + CUT if end > 0 else ""


def safe_word(text: str, limit: int) -> str:
    """A name as `safe_text`, as one word that may stand outside of quotes (`attr_id`, `my-tag`)."""
    word = _NO_WORD.sub("_", safe_text(text, _READ_AT_MOST))
    return cut(safe_text(word, _READ_AT_MOST).strip("_"), limit)


def safe_path(path: str, limit: int) -> str:
    """A path as `safe_text`, and without spaces: a sentence in it cannot pass for one of ours."""
    return cut(safe_text(path, _READ_AT_MOST).replace(" ", "%20"), limit)
