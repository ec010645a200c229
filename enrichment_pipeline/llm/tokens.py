"""How many tokens a text will be, without a model's tokenizer: never too few, for text like ours.

Each model has a tokenizer of its own. Words of ASCII letters come to a token for three or four
letters, digits to one each at most, everything else is counted by its bytes; the tests hold this
against a real tokenizer.
"""

import re
from math import ceil

_PIECES = re.compile(r"[A-Za-z]+|\n|[ \t]+|[^\sA-Za-z]+|\s")
_LETTERS_OF_A_TOKEN = 3


def estimate_tokens(text: str) -> int:
    """At least as many tokens as nearly any text of ours has."""
    return sum(map(_tokens, _PIECES.findall(text)))


def _tokens(piece: str) -> int:
    if piece.isalpha() and piece.isascii():
        return ceil(len(piece) / _LETTERS_OF_A_TOKEN) if len(piece) > 6 else 1 + (len(piece) > 4)
    if piece.isspace():
        # A space belongs to the word behind it.
        return 0 if piece == " " else 1
    return sum(
        1 if character.isascii() else ceil(len(character.encode()) / 2) for character in piece
    )
