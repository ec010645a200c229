"""Keys, tokens and other words made by machines, by their form. Names of classes, slugs and long
words of any language are none.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from itertools import pairwise

from enrichment_pipeline.events.private_numbers import CODE, is_reference

_UUID = re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-z])")
# In the forms in which their issuers write them.
KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:eyJ[\w-]{8,}(?:\.[\w-]+){0,2}\.?"
    r"|(?:sk|pk|rk)[-_](?:live|test|proj|ant|or|lf|svcacct|admin)[-_][\w-]{8,}"
    r"|sk-[A-Za-z0-9]{20,}|gh[pousr]_\w{16,}|github_pat_\w{8,}|glpat-[\w-]{8,}"
    r"|xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{20,}|ya29\.[\w-]{8,}"
    r"|SG\.[\w-]{8,}(?:\.[\w-]+)?|(?:hf|npm|ph[crsx]|shp(?:at|ca|pa|ss)|whsec|dop_v1)_\w{12,}"
    r"|pypi-[\w-]{16,}|GOCSPX-[\w-]{8,}|sq0[a-z]{3}-[\w-]{8,}|EAA[A-Za-z0-9]{12,}"
    r"|(?:lin_api|figd|gsk|r8|ntn|sbp|sb_secret|pat|dckr_pat|rnd|key)_[A-Za-z0-9]{12,}"
    r"|secret_[A-Za-z0-9]{20,}|(?:pplx|xai|key|dapi)-?[A-Za-z0-9]{20,})"
)
# A key of AWS: forty letters of base64, slashes among them.
_BASE64 = re.compile(
    r"(?<![\w/+=.-])(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)[A-Za-z0-9+][A-Za-z0-9/+]{39}(?![\w/+=])"
)
_BEARER = re.compile(r"(?i)(?<![a-z])(bearer[ :=]\s?)(?!\[token\])([^\s,;\"'\])}]{3,})")
_SHORTEST_BEARER = 12
_LONG_BEARER = 16
_PEM = re.compile(r"(PRIVATE KEY-{0,5} ?)[A-Za-z0-9+/=]{8,}")
_SLACK = re.compile(r"(/services/)T\w+/B\w+/\w+")
_BASIC = re.compile(r"(?i)(?<![a-z])(basic )([A-Za-z0-9+/]{6,}={0,2})(?![\w+/=])")
# In such a place of a path stands what proves who one is: it may consist of letters only.
_AFTER_STEP = re.compile(
    r"(?i)(?<![a-z])((?:reset|verif(?:y|ication)|confirm(?:ation)?|activat(?:e|ion)|invit(?:e|ation)s?"
    r"|magic|unsubscribe|recover|token|password|auth|login|share|session|callback|accept)"
    r"(?:[-_][a-z]+)*/)([A-Za-z0-9_-]{10,})(?![\w.])"
)
_CONSONANTS = re.compile(r"(?i)[^aeiouy\d_-]{5}")
_LONGEST_STEP = 15
_HASH = re.compile(r"[0-9a-f]{7,40}")
_COMMIT = re.compile(r"(?i)(?<![a-z])(?:commit|sha|rev|revision)[\s:=@/#]{1,2}\Z")
# Names that programs give to what they build: `main.4f2e8b7a.js`, `data-v-7ba5bd90`.
_BUILT = re.compile(r"\.(?:min\.|chunk\.)?(?:m?js|css|map|woff2?)(?!\w)")
_SCOPED = re.compile(r"(?:data-v|css|sc|jsx|svelte|ng|c)-[a-z0-9]{4,10}")
_LONGEST_BUILT = 24
_WORD = re.compile(r"[A-Za-z0-9_+/=-]{8,}")
_PART = re.compile(r"[^/=]+(?:=+(?![^=/]))?")
_PIECE = re.compile(r"[A-Za-z0-9]+")
_CAMEL = re.compile(r"[A-Z]?[a-z]+(?:[A-Z][a-z]+)*|[A-Z]+")
# As in `billingAddressLine1`.
_LAST_NUMBER = re.compile(r"\d{1,4}\Z")
_SHORT_TOKEN = 8
_TOKEN_OF_BOTH_CASES = 10
_LONG_TOKEN = 16
_JUMBLE = 12
_LONGEST_WORD = 40
_FEWEST_HUMPS = 4


def without_tokens(text: str) -> str:
    """`text` with `[token]` in place of keys, tokens and random words."""
    for pattern, instead in _STEPS:
        text = pattern.sub(instead, text)
    return text


def _bearer(found: re.Match[str]) -> str:
    what = found[2]
    is_mixed = not (what.islower() or what.isupper() or what.istitle())
    is_long = len(what) >= (_SHORTEST_BEARER if is_mixed else _LONG_BEARER)
    has_digit = any(character.isdigit() for character in what)
    return f"{found[1]}[token]" if is_long or has_digit else found[0]


def _basic(found: re.Match[str]) -> str:
    try:
        is_login = b":" in b64decode(found[2], validate=True)
    except ValueError:
        is_login = False
    return f"{found[1]}[token]" if is_login else found[0]


def _after_step(found: re.Match[str]) -> str:
    what = found[2]
    if "-" in what or "_" in what:
        return found[0]
    is_long = len(what) > _LONGEST_STEP and not what.isalpha()
    is_random = is_long or what.isupper() or _CONSONANTS.search(what) or _is_mixed_up(what)
    return f"{found[1]}[token]" if is_random else found[0]


def _is_mixed_up(what: str) -> bool:
    return not (what.islower() or what.isupper() or _CAMEL.fullmatch(what))


def _long_word(found: re.Match[str]) -> str:
    word = found[0]
    before = found.string[: found.start()]
    is_built = len(word.rpartition("/")[2]) <= _LONGEST_BUILT and _BUILT.match(
        found.string, found.end()
    )
    if is_built or _SCOPED.fullmatch(word):
        return word
    # A path consists of words, as does `name=value`: each is checked separately.
    return _PART.sub(
        lambda part: part[0] if _is_harmless(part[0], before + word[: part.start()]) else "[token]",
        word,
    )


def _is_harmless(word: str, before: str) -> bool:
    if not _is_token(word) or CODE.fullmatch(word):
        return True
    is_commit = _HASH.fullmatch(word) and _COMMIT.search(before)
    return bool(is_commit) or (word.isalnum() and word.isupper() and is_reference(before))


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
    return len(letters) > _LONGEST_WORD or (len(letters) >= _JUMBLE and _is_jumbled(letters))


def _is_jumbled(letters: str) -> bool:
    """Whether capitals stand among the letters as in no name: `kQzXwVbNmLpRtYsD`."""
    humps = sum(one.islower() and other.isupper() for one, other in pairwise(letters))
    if _CAMEL.fullmatch(letters):
        return 3 * humps > len(letters)
    return humps >= _FEWEST_HUMPS and 6 * humps > len(letters)


_Instead = str | Callable[[re.Match[str]], str]
_STEPS: tuple[tuple[re.Pattern[str], _Instead], ...] = (
    (_BEARER, _bearer),
    (_BASIC, _basic),
    (_PEM, r"\1[token]"),
    (_SLACK, r"\1[token]"),
    (KEY, "[token]"),
    (_UUID, "[token]"),
    (_BASE64, "[token]"),
    (_AFTER_STEP, _after_step),
    (_WORD, _long_word),
)
