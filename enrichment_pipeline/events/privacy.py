"""Masking what is private in text that a model may read.

Kinds of private things and how they are recognized belong here; making text harmless to
`safe_text`. The raw event keeps everything. Names of people are not recognized.
"""

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from typing import Final

import phonenumbers


class Private(StrEnum):
    """What a project may let models see. Passwords in URLs are always masked."""

    EMAIL = "email"
    PHONE = "phone"
    NUMBER = "number"
    """Cards, accounts, and any other of nine digits or more."""
    TOKEN = "token"  # noqa: S105
    QUERY = "query"
    """The query string and fragment of a URL or path."""


NOTHING: Final[frozenset[Private]] = frozenset()

# Text with none of these has nothing private in it: nearly all has none.
_MAY_HOLD = re.compile(r"[@＠?#]|%40|://|\d\D{0,2}\d\D{0,2}\d\D{0,2}\d\D{0,2}\d|[\w+/=-]{16}")

_PASSWORD = re.compile(r"(?i)(?<=://)[^\s/?#@]*@")
_AT = r"(?:@|＠|%40)"
_NO_NAME = r"\s@＠\"'<>(),;:=/?&\[\]‹›"
_EMAIL = re.compile(rf"(?i)[^{_NO_NAME}]+{_AT}[^{_NO_NAME}.]+(?:\.[^{_NO_NAME}.]+)+")
_QUERY = re.compile(r"(?<=[^\s?#])(?:\?[^\s?=]*=\S*|[?&](?=\S*[=&])\S+|#\S*=\S*)")
# A date is no number.
_DIGITS = re.compile(
    r"(?<![\w+])(?!(?:19|20)\d\d-\d\d-\d\d(?!\d))\+?\(?\d(?:[\s().\-/]{0,2}\d){6,}(?!\w)"
)
_SHORT_PHONE = re.compile(r"\d{3}[-.]\d{4}")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_JWT = re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]+){1,2}")
_WORD = re.compile(r"[A-Za-z0-9_+/=-]{16,}")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_CAMEL = re.compile(r"[A-Z]?[a-z]+(?:[A-Z][a-z]+)*|[A-Z]+")
_SHORTEST_NUMBER = 9
_CARD_LENGTHS = range(13, 20)
_LONGEST_WORD = 40


def mask(text: str, unmasked: Iterable[Private] = NOTHING) -> str:
    """`text` with `[email]`, `[phone]`, `[card]`, `[number]`, `[token]` in the place of such, and
    `?…` in that of a query; those of `unmasked` stay. Idempotent."""
    if not _MAY_HOLD.search(text):
        return text
    return _mask(text, frozenset(unmasked))


@lru_cache(maxsize=8_192)
def _mask(text: str, unmasked: frozenset[Private]) -> str:
    text = _PASSWORD.sub("", text)
    for kind, pattern, instead in _STEPS:
        if kind not in unmasked:
            text = pattern.sub(instead, text)
    if not {Private.PHONE, Private.NUMBER} <= unmasked:
        text = _DIGITS.sub(lambda found: _number(found[0], unmasked), text)
    return text


def _long_word(found: re.Match[str]) -> str:
    word = found[0]
    # A path is made of words: each is looked at for itself.
    return "/".join("[token]" if _is_token(part) else part for part in word.split("/"))


def _is_token(word: str) -> bool:
    """Whether a word was made by a machine: letters and digits change places, or it is longer than
    the words of any language. A slug (`summer-sale-2026`) and `CamelCase` are none."""
    return any(_is_random(piece) for piece in _PIECE.findall(word))


def _is_random(piece: str) -> bool:
    changes = sum(one.isdigit() != other.isdigit() for one, other in pairwise(piece))
    if (len(piece) >= 8 and changes >= 3) or (len(piece) >= 16 and changes):
        return True
    if len(piece) >= 20 and piece.isalpha() and not _CAMEL.fullmatch(piece):
        return True
    return len(piece) > _LONGEST_WORD


def _number(digits: str, unmasked: frozenset[Private]) -> str:
    count = sum(character.isdigit() for character in digits)
    plain = [int(character) for character in digits if character.isdigit()]
    if count in _CARD_LENGTHS and _passes_luhn(plain):
        return digits if Private.NUMBER in unmasked else "[card]"
    if _SHORT_PHONE.fullmatch(digits) or _is_phone(digits):
        return digits if Private.PHONE in unmasked else "[phone]"
    if count >= _SHORTEST_NUMBER:
        return digits if Private.NUMBER in unmasked else "[number]"
    return digits


def _is_phone(digits: str) -> bool:
    # Without its country's code a number is one of some country; how it is written tells.
    region = None if digits.startswith("+") else "US"
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(number)


def _passes_luhn(digits: list[int]) -> bool:
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


_Instead = str | Callable[[re.Match[str]], str]
_STEPS: Final[tuple[tuple[Private, re.Pattern[str], _Instead], ...]] = (
    (Private.QUERY, _QUERY, "?…"),
    (Private.EMAIL, _EMAIL, "[email]"),
    (Private.NUMBER, _IBAN, "[number]"),
    (Private.TOKEN, _JWT, "[token]"),
    (Private.TOKEN, _WORD, _long_word),
)


def parse_unmasked(names: str) -> frozenset[Private]:
    """The kinds in `email+phone`.

    Raises:
        ValueError: one is none; the message names those there are.
    """
    found = set()
    for name in names.split("+"):
        try:
            found.add(Private(name.strip()))
        except ValueError as error:
            raise ValueError(
                f"{name.strip()!r} is nothing that is masked; there are {', '.join(Private)}"
            ) from error
    return frozenset(found)
