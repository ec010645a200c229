"""The kinds of private things, and which of them a project lets models see."""

from enum import StrEnum
from typing import Final


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
