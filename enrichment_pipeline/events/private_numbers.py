"""Numbers in text: cards, phone numbers, accounts and other long numbers are private; times,
prices, versions, ISBN, EAN and numbers of orders and parcels are not.
"""

import re
from collections.abc import Set
from itertools import pairwise
from typing import Final

import phonenumbers

from enrichment_pipeline.events.allowed import Private

_BETWEEN = r"(?:[\s().\-/\u2010-\u2015\u2212·_*]|%2[0dD])"
_DIGITS = re.compile(rf"(?<!\d)\+?\(?\d(?:{_BETWEEN}{{0,3}}\d){{6,}}")
_ESCAPED = re.compile(r"%2[0dD]")
# Cards whose groups stand between other characters, the same ones each time.
_LISTED_CARD = re.compile(
    r"(?<!\d)(?:\d{4}(\W{1,3})\d{4}\1\d{4}\1\d{1,7}|\d{4}(\W{1,3})\d{6}\2\d{4,5})(?!\d)"
)
_SHORT_PHONE = re.compile(r"[2-9]\d{2}[-.]\d{4}(?<!000)")
_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d\d([-/.])\d\d?\2\d\d?(?!\d|\2\d)"
    r"|\d\d?([-/.])\d\d?\3(?:19|20)\d\d(?!\d|\3\d))"
)
_MONTH_TO_SECOND = r"(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\d"
# Numbers with as many digits that are not secret.
_HARMLESS = re.compile(
    r"\d{1,6}[.,]\d\d(?:[\s\-–]{1,3}\d{1,6}[.,]\d\d)*"  # prices
    r"|\d{1,3}\.0\.\d{3,5}\.\d{1,5}|20\d\d\.\d{1,2}\.\d{1,8}"  # versions
    r"|\d{4,6}(?:\.\d{1,3}){2,3}|10\.\d{4}/\d+"  # builds, articles of science
    r"|(?!\d{3}\.\d{7}\Z)(?:0|[1-9]\d*)\.\d{3,}"  # decimals
    r"|1[3-9]\d{8}(?:\.\d{1,9}|(?:\d{3}){0,3})"  # seconds since 1970, and parts of them
    rf"|20\d\d{_MONTH_TO_SECOND}(?:\d{{3}})?"
    r"|20\d{2}(?:0[1-9]|1[0-2])[0-3]\d[-_][0-2]\d[0-5]\d[0-5]\d"
    r"|\d+\.\d+\.\d+-20\d{6,12}|1\d{3} \(\d{5}"  # versions of Go, errors of MySQL
    r"|\d{3}-\d{7}-\d{7}"  # orders at Amazon
)
_THOUSANDS = re.compile(r"\d{1,3}(?:([ .\u2009\u202f])\d{3})(?:\1\d{3})+")
_CURRENCIES = (
    "EUR|USD|GBP|CHF|JPY|CNY|INR|BRL|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RON|RUB|UAH|TRY|KRW"
)
_CURRENCY_BEFORE = re.compile(rf"(?:[$€£¥₹₽₩]|\b(?:{_CURRENCIES})) ?\Z")
_CURRENCY_BEHIND = re.compile(rf" ?(?:[$€£¥₹₽₩]|(?:{_CURRENCIES})\b)")
# What a number counts or names: `Order #1002934857`, `/orders/1002934857`, `INV-2026-0042`.
_REFERENCE = re.compile(
    r"(?i)(?:(?<![^\W\d_])(?:orders?|invoices?|tickets?|tracking|track|parcels?|packages?"
    r"|shipments?|isbn(?:.1[03])?|issn|usps|ups|fedex|dhl|dpd|gls|cve|jsx|ean(?:.?1?[38])?|gtin(?:.1[234])?|upc|barcode|asin|sku|items?|articles?|artikel"
    r"|products?|prod|books?|models?|references?|version|build|commit|revision|timestamp|time|epoch|inv|ord|so"
    r"|po|rma|ref|inc|case|bestell(?:ung|nummer|.nr)|auftrag|rechnung|faktura|sendung(?:s?(?:nummer|nr))?|paket"
    r"|commande|facture|colis|pedido|factura|paquete|env[ií]o|ordine|fattura|bestelling|zam[óo]wienie)"
    r"|заказа?|посылк[аи]|注文番号|注文|订单号?|주문(?:번호)?|追跡番号)"
    r"(?:[\s_.-]?(?:id|no|nr|num|number|nummer|n|code|key))?"
    r"['\"]?[\s.:#=°ºª№n/('\"-]{0,5}\Z"
)
_REFERENCE_LENGTH = 48
# The form of a reference, and not that of a phone number or of an id of a citizen.
_OF_REFERENCE = re.compile(r"#?\d+(?:[-/]\d+)*")
_OF_PERSON = re.compile(r"\d{3}-\d\d-\d{4}|\d{3}-\d{3}-\d{4}")
_OF_PHONE = re.compile(r"0.*")
_LETTERS_BEFORE = re.compile(r"[A-Za-z#][-#]?\Z")
_BY_ISSUER = re.compile(r"(?:\d{4} )+\d{1,4}")
_SHORTEST_REFERENCE = 20
# Codes that other systems give: a parcel's (UPS, the post, DHL), a product's (Amazon), a moment.
CODE: Final = re.compile(
    r"1Z[A-Z0-9]{16}|[A-Z]{2}\d{9}[A-Z]{2}|JD\d{16,18}|B0[A-Z0-9]{8}"
    r"|P(?:\d+[YMWD])*(?:T(?:\d+[HMS])+)?|20\d{6}T\d{6}(?:\.\d+)?Z?"
)
_WORD_BEFORE = re.compile(r"[A-Z0-9]*\Z")
_WORD_BEHIND = re.compile(r"[A-Z0-9.]*")
# `INV-2026-0042`
_OF_YEAR = re.compile(r"20\d\d(?:[01]\d[0-3]\d)?-\d{1,8}")
_LETTERS_OF_YEAR = re.compile(r"(?<![A-Za-z])[A-Z]{1,5}-\Z")
_GROUPS = re.compile(r"\d+")
_SHORTEST_LIST = 4
_SHORTEST_NUMBER = 9
CARD_LENGTHS: Final = range(14, 20)
_FIRST_OF_CARDS = frozenset({2, 3, 4, 5, 6})
_LONGEST_GROUP_OF_TWO = 7
_EAN = 13
_ISBN = ("978", "979")
_OLD_ISBN = 10
# 756 begins the insurance numbers of the Swiss.
_NO_EAN = "756"
_COORDINATE = r"-?\d{1,3}\.\d{4,}\s?°?\s?"
_PLACE = re.compile(rf"(?<![\d.]){_COORDINATE}[NS]?\s?[,;/\s]\s?{_COORDINATE}(?:[EWO]\b)?(?!\.?\d)")


def without_numbers(text: str, allowed: Set[Private], about: str = "") -> str:
    """`text` with marks in place of private numbers. `about` is the name of what the text says: a
    number of an order is not private."""

    def instead(found: re.Match[str]) -> str:
        if _is_of_code(found):
            return found[0]
        before = about + " " + text[: found.start()] if about else text[: found.start()]
        return _numbers(found[0], before[-_REFERENCE_LENGTH:], text[found.end() :], allowed)

    if Private.NUMBER not in allowed:
        text = _LISTED_CARD.sub(_listed_card, _PLACE.sub("[number]", text))
    return _DIGITS.sub(instead, text)


def _is_of_code(found: re.Match[str]) -> bool:
    before = _WORD_BEFORE.search(found.string, max(0, found.start() - 20), found.start())
    behind = _WORD_BEHIND.match(found.string, found.end())
    word = f"{before and before[0]}{found[0].strip()}{behind and behind[0]}"
    return CODE.fullmatch(word.rstrip(".")) is not None


def is_reference(before: str) -> bool:
    """Whether what stands before a number or code says that it is one of an order, a parcel, …"""
    return _REFERENCE.search(before[-_REFERENCE_LENGTH:]) is not None


def passes_luhn(number: str) -> bool:
    """Whether the last digit is the check digit of cards."""
    digits = [int(digit) for digit in number]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _listed_card(found: re.Match[str]) -> str:
    groups = _GROUPS.findall(found[0])
    is_card = _is_card("".join(groups)) and not _is_list(groups)
    return "[card]" if is_card else found[0]


def _numbers(digits: str, before: str, behind: str, allowed: Set[Private]) -> str:
    if digits.startswith("+"):
        return _number(digits, before, behind, allowed)
    parts: list[str] = []
    end = 0
    for date in _DATE.finditer(digits):
        parts += [_number(digits[end : date.start()], before, "", allowed), date[0]]
        end, before = date.end(), ""
    return "".join([*parts, _number(digits[end:], before, behind, allowed)])


def _number(digits: str, before: str, behind: str, allowed: Set[Private]) -> str:
    groups = _GROUPS.findall(_ESCAPED.sub(" ", digits))
    plain = "".join(groups)
    stripped = digits.strip(" ./-_()")
    if _HARMLESS.fullmatch(stripped) or _is_list(groups) or _is_code_of_product(plain, groups):
        return digits
    if _is_card(plain):
        return digits if Private.NUMBER in allowed else _instead(digits, "[card]")
    if _is_amount(stripped, before, behind) or _is_numbered(stripped, plain, before):
        return digits
    if _SHORT_PHONE.fullmatch(digits) or _is_phone(digits):
        return digits if Private.PHONE in allowed else _instead(digits, "[phone]")
    if len(plain) >= _SHORTEST_NUMBER:
        return digits if Private.NUMBER in allowed else _instead(digits, "[number]")
    return digits


def _is_card(plain: str) -> bool:
    return len(plain) in CARD_LENGTHS and int(plain[0]) in _FIRST_OF_CARDS and passes_luhn(plain)


def _is_amount(digits: str, before: str, behind: str) -> bool:
    if not _THOUSANDS.fullmatch(digits):
        return False
    return bool(_CURRENCY_BEFORE.search(before) or _CURRENCY_BEHIND.match(behind))


def _is_numbered(digits: str, plain: str, before: str) -> bool:
    """Whether it is the number of an order, a parcel or a book."""
    if _OF_YEAR.fullmatch(digits) and _LETTERS_OF_YEAR.search(before):
        return True
    has_form = _OF_REFERENCE.fullmatch(digits) and not _OF_PERSON.fullmatch(digits)
    if _OF_PHONE.match(digits) and not _LETTERS_BEFORE.search(before):
        has_form = False
    is_long = len(plain) >= _SHORTEST_REFERENCE
    if not (has_form or is_long or _is_old_isbn(plain) or _is_product(plain)):
        return False
    return is_reference(before)


def _is_code_of_product(plain: str, groups: list[str]) -> bool:
    """Whether it is an ISBN, or an EAN in one piece: by its check digit."""
    if len(plain) != _EAN or not _passes_ean(plain):
        return False
    return plain.startswith(_ISBN) or (len(groups) == 1 and not plain.startswith(_NO_EAN))


def _is_product(plain: str) -> bool:
    return len(plain) in {8, 12, 13, 14} and _passes_ean(plain)


def _passes_ean(plain: str) -> bool:
    digits = [int(digit) for digit in plain]
    return (sum(digits[-1::-2]) + 3 * sum(digits[-2::-2])) % 10 == 0


def _is_old_isbn(plain: str) -> bool:
    weighted = (at * int(digit) for at, digit in zip(range(10, 0, -1), plain, strict=False))
    return len(plain) == _OLD_ISBN and sum(weighted) % 11 == 0


def _instead(digits: str, mark: str) -> str:
    """The mark, with the spaces that surrounded the digits."""
    start = len(digits) - len(digits.lstrip())
    # A bracket that is closed behind it, or nowhere, is not part of it.
    if digits.count("(") > digits.count(")"):
        start = digits.index("(") + 1
    return digits[:start] + mark + digits[len(digits.rstrip()) :]


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
