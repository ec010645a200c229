"""Masking private data in text that a model may read.

Recognizing private data belongs here, the kinds to `allowed`; making text harmless to `safe_text`.
The raw event keeps everything. Names of people are not recognized.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Final

import phonenumbers

from enrichment_pipeline.events.allowed import NOTHING, Private
from enrichment_pipeline.events.private_names import is_private_name
from enrichment_pipeline.events.safe_text import visible

# Sentences show some dozens of characters; text far behind them is never shown.
_READ_AT_MOST = 1_000

# Text with none of these holds nothing private: nearly all text.
_MAY_HOLD = re.compile(
    r"[@＠﹫?#=]|%(?:25)*40|&#64;|[(\[]at[)\]]|//|\d\D{0,9}\d\D{0,9}\d\D{0,9}\d\D{0,9}\d"
    r"|[\w+/=.-]{12}"
)

_PASSWORD = re.compile(r"(?<=//)(?:[^\s/?#@:]+:[^\s/]*|[^\s/?#]*)@")
_AT = r"(?:[@＠﹫]|%(?:25)*40|&#64;|\s?[(\[]at[)\]]\s?)"
_DOT = r"(?:[.．]|[。｡](?=[a-z]))"
_NO_NAME = r"\s@＠﹫\"'<>(),;:=/?&\[\]‹›"
# `icon@2x.png` and `lodash@4.17` are not e-mail addresses.
_EMAIL = re.compile(
    rf"(?i)(?<![^{_NO_NAME}])[^{_NO_NAME}]+?{_AT}(?!\dx\.)"
    rf"[^{_NO_NAME}.．]+(?:{_DOT}[^{_NO_NAME}.．]+)*{_DOT}(?!\d+\b)[^{_NO_NAME}.．]+"
)
# In a path or URL everything after the question mark; in a sentence only text like a query.
_QUERY_OF_PATH = re.compile(r"((?:(?<![^\s\"'(=])/|://)[^\s?#]*)(?:\?(?!…)|;(?=\w+=))\S+")
_QUERY = re.compile(r"(?<=[^\s?#])(?:\?[^\s?=]*=\S*|[?&](?=\S*[=&])\S+|#\S*=\S*)")

_BETWEEN = r"(?:[\s().\-/\u2010-\u2015\u2212·_*]|%2[0dD])"
_DIGITS = re.compile(rf"(?<!\d)\+?\(?\d(?:{_BETWEEN}{{0,3}}\d){{6,}}")
_ESCAPED = re.compile(r"%2[0dD]")
_SHORT_PHONE = re.compile(r"[2-9]\d{2}[-.]\d{4}(?<!000)")
# Numbers with as many digits that are not secret.
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d([-/.])\d\d?\2\d\d?(?!\d|\2\d)"
    r"|\d\d?([-/.])\d\d?\3(?:19|20)\d\d(?!\d|\3\d))"
)
_HARMLESS = re.compile(
    r"\d{1,6}[.,]\d\d(?:[\s\-–]{1,3}\d{1,6}[.,]\d\d)*"  # prices
    r"|\d{1,3}\.0\.\d{3,5}\.\d{1,5}"  # versions of browsers and of Windows
)
_GROUPS = re.compile(r"\d+")
_SHORTEST_LIST = 4

_IBAN = re.compile(r"(?i)\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_FEWEST_DIGITS_OF_IBAN = 8
_UUID = re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-z])")
_BEARER = re.compile(r"(?i)(?<![a-z])(bearer )(?=\S*\d)(?!\[token\])\S+")
_NAMED = re.compile(r"(?<![\w.-])(\w[\w.-]{0,40})=(?!\[token\])\S+")
# In the forms in which their issuers write them.
_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:eyJ[\w-]{8,}(?:\.[\w-]+){0,2}"
    r"|(?:sk|pk|rk)[-_](?:live|test|proj|ant|or|lf|svcacct|admin)[-_][\w-]{8,}"
    r"|sk-[A-Za-z0-9]{20,}|gh[pousr]_\w{16,}|github_pat_\w{8,}|glpat-[\w-]{8,}"
    r"|xox[a-z]-[\w-]{8,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{20,}|ya29\.[\w-]{8,}"
    r"|SG\.[\w-]{8,}(?:\.[\w-]+)?|(?:hf|npm|phc|phx|phs|shpat|whsec|dop_v1)_\w{12,}"
    r"|pypi-[\w-]{16,})"
)
# A key of AWS: forty letters of base64, slashes among them.
_BASE64 = re.compile(
    r"(?<![\w/+=.-])(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)[A-Za-z0-9+][A-Za-z0-9/+]{39}(?![\w/+=])"
)
_WORD = re.compile(r"[A-Za-z0-9_+/=-]{8,}")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_CAMEL = re.compile(r"[A-Z]?[a-z]+(?:[A-Z][a-z]+)*|[A-Z]+")
# As in `billingAddressLine1`.
_LAST_NUMBER = re.compile(r"\d{1,4}\Z")
_SHORT_TOKEN = 8
_TOKEN_OF_BOTH_CASES = 10
_LONG_TOKEN = 16
_LONG_JUMBLE = 20
_SHORTEST_NUMBER = 9
_CARD_LENGTHS = range(13, 20)
# Thirteen digits are mostly milliseconds.
_CARD_LENGTHS_TODAY = range(14, 20)
_LONGEST_WORD = 40
_MOST_PASSES = 8


def mask(text: str, allowed: Iterable[Private] = NOTHING) -> str:
    """`text` with `[email]`, `[phone]`, `[card]`, `[number]`, `[token]` in place of private data,
    and `?…` in place of a query; the kinds in `allowed` stay. Idempotent.

    Text must be cut only after masking: half a card number is not recognized.
    """
    if len(text) > _READ_AT_MOST:
        text = without_torn_end(text[:_READ_AT_MOST])
    # First: invisible characters would separate parts that belong together.
    text = visible(text)
    return _mask(text, frozenset(allowed)) if _MAY_HOLD.search(text) else text


def is_known_secret(word: str) -> bool:
    """Whether a word is a key, an account or a card number in its issuer's form. Other random words
    are not: ids are random too."""
    digits = [int(one) for one in word if one.isdecimal()]
    is_card = word.isdecimal() and len(digits) in _CARD_LENGTHS_TODAY and _passes_luhn(digits)
    is_account = _IBAN.fullmatch(word) and len(digits) >= _FEWEST_DIGITS_OF_IBAN
    return bool(is_card or is_account or _KEY.search(word))


_TORN_WORD = re.compile(r"[!-.0-~]*\Z")
_TORN_DIGITS = "+0123456789 ().-/"


def without_torn_end(text: str) -> str:
    """A text that was cut somewhere, without the last word or number, which may be incomplete."""
    return _TORN_WORD.sub("", text).rstrip(_TORN_DIGITS)


@lru_cache(maxsize=8_192)
def _mask(text: str, allowed: frozenset[Private]) -> str:
    """Repeat until nothing is left to mask: a mask may reveal private data beside it."""
    for _ in range(_MOST_PASSES):
        masked = _masked_once(text, allowed)
        if masked == text:
            break
        text = masked
    return text


def _masked_once(text: str, allowed: frozenset[Private]) -> str:
    text = _PASSWORD.sub("", text)
    for kind, pattern, instead in _STEPS:
        if kind not in allowed:
            text = pattern.sub(instead, text)
    if not {Private.PHONE, Private.NUMBER} <= allowed:
        text = _DIGITS.sub(lambda found: _numbers(found[0], allowed), text)
    return text


def _named(found: re.Match[str]) -> str:
    return f"{found[1]}=[token]" if is_private_name(found[1]) else found[0]


def _account(found: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in found[0])
    return "[number]" if digits >= _FEWEST_DIGITS_OF_IBAN else found[0]


def _long_word(found: re.Match[str]) -> str:
    word = found[0]
    # A path consists of words: each is checked separately.
    return "/".join("[token]" if _is_token(part) else part for part in word.split("/"))


def _is_token(word: str) -> bool:
    """Whether a word was made by a machine: letters and digits alternate, or it is longer than the
    words of any language. A slug (`summer-sale-2026`) or `CamelCase` is not a token."""
    return any(_is_random(piece) for piece in _PIECE.findall(word))


def _is_random(piece: str) -> bool:
    if piece.isdigit():
        return False
    changes = sum(one.isdigit() != other.isdigit() for one, other in pairwise(piece))
    # `WH1000XM5` is the name of a product.
    if len(piece) >= _SHORT_TOKEN and 3 * changes > len(piece):
        return True
    is_mixed = not (piece.islower() or piece.isupper())
    if len(piece) >= _TOKEN_OF_BOTH_CASES and is_mixed and changes >= 3:
        return True
    letters = _LAST_NUMBER.sub("", piece)
    if not letters.isalpha():
        return len(piece) >= _LONG_TOKEN
    humps = sum(one.islower() and other.isupper() for one, other in pairwise(letters))
    is_jumbled = not _CAMEL.fullmatch(letters) and 6 * humps > len(letters)
    return len(letters) > _LONGEST_WORD or (len(letters) >= _LONG_JUMBLE and is_jumbled)


def _numbers(digits: str, allowed: frozenset[Private]) -> str:
    if digits.startswith("+"):
        return _number(digits, allowed)
    parts: list[str] = []
    end = 0
    for date in _DATE.finditer(digits):
        parts += [_number(digits[end : date.start()], allowed), date[0]]
        end = date.end()
    return "".join([*parts, _number(digits[end:], allowed)])


def _number(digits: str, allowed: frozenset[Private]) -> str:
    groups = _GROUPS.findall(_ESCAPED.sub(" ", digits))
    plain = [int(digit) for digit in "".join(groups)]
    count = len(plain)
    if count in _CARD_LENGTHS and _passes_luhn(plain):
        return digits if Private.NUMBER in allowed else _instead(digits, "[card]")
    if _HARMLESS.fullmatch(digits.strip(" ./-")) or _is_list(groups):
        return digits
    if _SHORT_PHONE.fullmatch(digits) or _is_phone(digits):
        return digits if Private.PHONE in allowed else _instead(digits, "[phone]")
    if count >= _SHORTEST_NUMBER:
        return digits if Private.NUMBER in allowed else _instead(digits, "[number]")
    return digits


def _instead(digits: str, mark: str) -> str:
    """The mark, with the spaces that surrounded the digits."""
    before = digits[: len(digits) - len(digits.lstrip())]
    return before + mark + digits[len(digits.rstrip()) :]


def _is_list(groups: list[str]) -> bool:
    """Whether it is a list like `1 2 3 4 5`, as in page numbers and scales."""
    if len(groups) < _SHORTEST_LIST:
        return False
    return all(int(after) - int(before) == 1 for before, after in pairwise(groups))


def _is_phone(digits: str) -> bool:
    # Without a country code, the form of a number shows whether it is a phone number.
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
    (Private.QUERY, _QUERY_OF_PATH, r"\1?…"),
    (Private.QUERY, _QUERY, "?…"),
    (Private.EMAIL, _EMAIL, "[email]"),
    (Private.TOKEN, _BEARER, r"\1[token]"),
    (Private.TOKEN, _NAMED, _named),
    (Private.TOKEN, _KEY, "[token]"),
    (Private.TOKEN, _UUID, "[token]"),
    (Private.TOKEN, _BASE64, "[token]"),
    (Private.NUMBER, _IBAN, _account),
    (Private.TOKEN, _WORD, _long_word),
)
