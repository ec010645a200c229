"""The words of a name, however it is spelled: `paymentFailed`, `payment_failed`."""

import re
from functools import lru_cache

_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"\d+|[^\W\d_]+")
_LONGEST = 400


@lru_cache(maxsize=8_192)
def words_of(name: str) -> tuple[str, ...]:
    """The words, folded to one case; a number is a word of its own."""
    return tuple(word.casefold() for word in _WORD.findall(_HUMP.sub(" ", name[:_LONGEST])))
