"""Masking private data in text that a model may read: the steps, and addresses of mail and pages.

Numbers belong to `private_numbers`, keys and tokens to `private_tokens`, what a name says to
`named_values`, the kinds to `allowed`; making text harmless to `safe_text`. The raw event keeps
everything. Names of people in free text are not recognized.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from enrichment_pipeline.events.allowed import NOTHING, Private
from enrichment_pipeline.events.named_values import without_named
from enrichment_pipeline.events.private_numbers import CARD_LENGTHS, passes_luhn, without_numbers
from enrichment_pipeline.events.private_tokens import KEY, without_tokens
from enrichment_pipeline.events.safe_text import visible

# Sentences show some dozens of characters; text far behind them is never shown.
_READ_AT_MOST = 1_000

# Text with none of these holds nothing private: nearly all text.
_MAY_HOLD = re.compile(
    r"[@＠﹫?#=:→>›]|%(?:25)*(?:40|3[Dd])|&#64;|&comm|//|\d\D{0,9}\d\D{0,9}\d|[Dd][Oo][Tt]\W"
    r"|[Aa][Tt][)\]}]|(?:[Pp][Aa][Ss][Ss]|[Pp][Ww]|[Kk]enn)\w* .*\d|[\w+/=.-]{12}"
)

_IN_QUERY = re.compile(r"[?#&]|;\w+=")
_IN_EMAIL = re.compile(r"[@＠﹫]|%(?:25)*40|&#64;|&comm|(?i:\bat[)\]} ])")
_THREE_DIGITS = re.compile(r"\d\D{0,9}\d\D{0,9}\d")
_DOTS_OF_IPV4 = 3

_PASSWORD = re.compile(r"(?<=//)(?:[^\s/?#@:]+:[^\s/]*|[^\s/?#]*)@")
_AT = r"(?:\s?[@＠﹫]\s?|%(?:25)*40|&#64;|&commat;|\s?[(\[{](?:at|@)[)\]}]\s?)"
_DOT = r"(?:[.．]|[。｡](?=[a-z])|\s?[(\[{](?:dot|punkt|\.)[)\]}]\s?)"
_NO_NAME = r"\s@＠﹫\"'<>(),;:=/?&\[\]{}‹›"
# `icon@2x.png` and `lodash@4.17` are not e-mail addresses.
_EMAIL = re.compile(
    rf"(?i)(?<![^{_NO_NAME}])[^{_NO_NAME}]+?(?:'[^{_NO_NAME}]+?)?{_AT}(?!\dx\.)"
    rf"[^{_NO_NAME}.．]+(?:{_DOT}[^{_NO_NAME}.．]+)*{_DOT}(?!\d+\b)[^{_NO_NAME}.．]+"
)
_SPELLED_EMAIL = re.compile(r"(?i)(?<![\w.])[\w.+-]+ at [\w-]+(?: dot [\w-]+)* dot [a-z]{2,12}\b")
# In a path or URL everything after the question mark; in a sentence only text like a query.
_QUERY_OF_PATH = re.compile(r"((?:(?<![^\s\"'(=])/|://)[^\s?#]*)(?:\?(?!…)|;(?=\w+=))\S+")
_QUERY = re.compile(r"(?<=[^\s?#])(?:\?[^\s?=]*=\S*|[?&](?=\S*[=&])\S+|#\S*=\S*)")

_IBAN = re.compile(
    r"(?i)(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![A-Z0-9])"
)
_SHORTEST_IBAN = 15
_GAP = re.compile("[ -]")
# Numbers of citizens of Britain, Spain, Singapore and India, with the letters that only they have.
_CITIZEN = re.compile(
    r"(?<![A-Z0-9])(?:[A-CEGHJ-PR-TW-Z]{2} ?\d\d ?\d\d ?\d\d ?[A-D]"
    r"|(?:\d{8}|[XYZ]-?\d{7})-?[TRWAGMYFPDXBNJZSQVHLCKE]"
    r"|[STFGM]\d{7}[A-Z]|[A-Z]{3}P[A-Z]\d{4}[A-Z])(?![A-Z0-9])"
)
_HARDWARE = re.compile(
    r"(?i)(?<![0-9a-f:-])[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}(?![0-9a-f:-])"
)
_IPV4 = re.compile(r"(?<![0-9A-Za-z_.-])(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z_-]|\.\d)")
_IPV6 = re.compile(r"(?i)(?<![0-9a-z_:.])(?=[^:\s]*:[^:\s]*:)[0-9a-f:]{6,39}(?![0-9a-z_:])")
_OF_VERSION = re.compile(
    r"(?i)(?:v|ver|version|build|release|firmware|update|chrome|edge|firefox|safari|opera|android"
    r"|windows|ios|macos|app|sdk)[\s:=/._-]{0,2}\Z"
)
_FEWEST_GROUPS = 3
_LONG_PART = 3
_MOST_SHORT_PARTS = 2
_MOST_PASSES = 8


def mask(text: str, allowed: Iterable[Private] = NOTHING, about: str = "") -> str:
    """`text` with `[email]`, `[phone]`, `[card]`, `[number]`, `[token]` in place of private data,
    and `?…` in place of a query; the kinds in `allowed` stay. Idempotent.

    `about` is the name of what the text says, if it is known: the number of an order is not
    private. Text must be cut only after masking: half a card number is not recognized.
    """
    if len(text) > _READ_AT_MOST:
        text = without_torn_end(text[:_READ_AT_MOST])
    return _mask(text, frozenset(allowed), about)


def is_known_secret(word: str) -> bool:
    """Whether a word is a key, an account or a card number in its issuer's form. Other random words
    are not: ids are random too."""
    is_card = word.isdecimal() and len(word) in CARD_LENGTHS and passes_luhn(word)
    is_account = _IBAN.fullmatch(word) and _is_account(word)
    return bool(is_card or is_account or KEY.search(word))


_TORN_WORD = re.compile(r"[!-.0-~]*\Z")
_TORN_DIGITS = "+0123456789 ().-/"


def without_torn_end(text: str) -> str:
    """A text that was cut somewhere, without the last word or number, which may be incomplete."""
    return _TORN_WORD.sub("", text).rstrip(_TORN_DIGITS)


class _Plain(dict[int, str | int]):
    """The character of ASCII that looks the same: full-width, bold or encircled letters."""

    def __missing__(self, code: int) -> str | int:
        plain = unicodedata.normalize("NFKC", chr(code))
        self[code] = seen = plain if len(plain) == 1 and plain.isascii() else code
        return seen


_PLAIN = _Plain()


@lru_cache(maxsize=8_192)
def _mask(text: str, allowed: frozenset[Private], about: str) -> str:
    # First: invisible characters would separate parts that belong together.
    seen = visible(text)
    plain = seen if seen.isascii() else seen.translate(_PLAIN)
    if not _MAY_HOLD.search(plain):
        return seen
    masked = _masked(plain, allowed, about)
    return seen if masked == plain else masked


def _masked(text: str, allowed: frozenset[Private], about: str) -> str:
    """Repeat until nothing is left to mask: a mask may reveal private data beside it."""
    for _ in range(_MOST_PASSES):
        masked = _masked_once(text, allowed, about)
        if masked == text:
            break
        text = masked
    return text


def _masked_once(text: str, allowed: frozenset[Private], about: str) -> str:
    # What a kind cannot be without is looked for first: few texts have any of it.
    if "//" in text:
        text = _PASSWORD.sub("", text)
    if Private.QUERY not in allowed and _IN_QUERY.search(text):
        text = _QUERY.sub("?…", _QUERY_OF_PATH.sub(r"\1?…", text))
    if Private.EMAIL not in allowed and _IN_EMAIL.search(text):
        text = _SPELLED_EMAIL.sub("[email]", _EMAIL.sub("[email]", text))
    has_digits = _THREE_DIGITS.search(text) is not None
    if Private.NUMBER not in allowed:
        text = _without_addresses(text)
        if has_digits:
            text = _CITIZEN.sub("[number]", _IBAN.sub(_account, text))
    if Private.TOKEN not in allowed:
        text = without_tokens(text)
    if has_digits and not {Private.PHONE, Private.NUMBER} <= allowed:
        text = without_numbers(text, allowed, about)
    # Last: what has a form of its own gets the mark of its kind.
    return text if Private.TOKEN in allowed else without_named(text)


def _without_addresses(text: str) -> str:
    """Without the addresses of machines in a network."""
    if ":" in text or "-" in text:
        text = _HARDWARE.sub("[number]", _IPV6.sub(_ip, text))
    return _IPV4.sub(_ip, text) if text.count(".") >= _DOTS_OF_IPV4 else text


def _account(found: re.Match[str]) -> str:
    """Without the account; words that follow it may look like a part of it."""
    text = found[0]
    for end in (len(text), *(at.start() for at in reversed([*_GAP.finditer(text)]))):
        if _is_account(text[:end]):
            return f"[number]{text[end:]}"
    return text


def _is_account(text: str) -> bool:
    plain = re.sub("[ -]", "", text)
    if len(plain) < _SHORTEST_IBAN:
        return False
    digits = "".join(str(int(character, 36)) for character in plain[4:] + plain[:4])
    return int(digits) % 97 == 1


def _ip(found: re.Match[str]) -> str:
    address = found[0]
    try:
        is_of_one = _is_of_one(address) and not _OF_VERSION.search(found.string[: found.start()])
    except AddressValueError:
        is_of_one = False
    return "[number]" if is_of_one else address


def _is_of_one(address: str) -> bool:
    """Whether it is the address of somebody's machine, and no version (`120.0.0.0`, `1.2.3.4`)."""
    if ":" in address:
        groups = [group for group in address.split(":") if group]
        return not IPv6Address(address).is_loopback and len(groups) >= _FEWEST_GROUPS
    ip = IPv4Address(address)
    lengths = [len(part) for part in address.split(".")]
    is_short = max(lengths) < _LONG_PART and lengths.count(1) > _MOST_SHORT_PARTS
    return not (is_short or ip.is_loopback or ip.is_unspecified or address.endswith(".0.0"))
