"""Text that people and pages wrote, made fit to stand in a prompt: one line, no control characters,
no markup, nothing that ends the quotes around it.

What is private is masked by `privacy`; characters that PostgreSQL refuses belong to `text`.
"""

import re
import unicodedata

CUT = "…"

# A cut text may still hold characters of any length; nobody reads past this.
_READ_AT_MOST = 4_096

# Letters of every script stay, and the two joiners that Persian, Indic scripts and emoji need
# inside of words. Away: what is not seen (tags of plane 14 and variation selectors above it spell
# whole sentences for models), what turns the direction of text, and what has no meaning of its own.
_JOINERS = "\u200c\u200d"
_UNSEEN = re.compile(
    f"[^\\S ]|(?![{_JOINERS}])[\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f"
    "\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\u3164\\ufe00-\\ufe0d\\ufeff\\uffa0"
    "\\ufff0-\\uffff\\U000e0000-\\U000e0fff]"
)
_JOINER_AT_EDGE = re.compile(f"(?<!\\S)[{_JOINERS}]+|[{_JOINERS}]+(?!\\S)|([{_JOINERS}])\\1+")
_SPACES = re.compile(r" {2,}")
_CONTROL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})

# What opens a tag, a code block, a link, a template or a role in the formats that prompts are made
# of. Each has a look-alike that opens nothing.
_MARKUP = str.maketrans(
    {
        "<": "‹",
        ">": "›",
        "`": "'",
        '"': "'",
        "“": "'",
        "”": "'",
        "„": "'",
        "«": "'",
        "»": "'",
        "＂": "'",
        "＜": "‹",
        "＞": "›",
        "[": "(",
        "]": ")",
        "{": "(",
        "}": ")",
        "|": "/",
        "\\": "/",
    }
)
_RUNS = re.compile(r"([#*_~=+-])\1{2,}")


def safe_text(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters, harmless in a prompt; it may be empty.

    Idempotent: what is safe stays as it is.
    """
    if text.isascii() and text.isprintable():
        plain = text[:_READ_AT_MOST]
    else:
        plain = _visible(text[:_READ_AT_MOST])
    plain = _RUNS.sub(r"\1\1", plain.translate(_MARKUP))
    return cut(_SPACES.sub(" ", plain).strip(), limit)


def cut(text: str, limit: int) -> str:
    """`text` with at most `limit` characters; a cut shows."""
    if len(text) <= limit:
        return text
    # Not within what belongs to one letter: a base without its accent is another letter.
    end = limit - len(CUT)
    while end > 0 and (unicodedata.combining(text[end]) or text[end - 1] in _JOINERS):
        end -= 1
    return text[:end].rstrip() + CUT if end > 0 else ""


def safe_path(path: str, limit: int) -> str:
    """A path as `safe_text`, and without spaces: a sentence in it cannot pass for one of ours."""
    return safe_text(path, limit).replace(" ", "%20")[:limit]


def _visible(text: str) -> str:
    plain = _UNSEEN.sub(" ", unicodedata.normalize("NFC", text))
    if not plain.isprintable():
        plain = "".join(
            character
            if character in _JOINERS or unicodedata.category(character) not in _CONTROL
            else " "
            for character in plain
        )
    return _JOINER_AT_EDGE.sub("", plain)
