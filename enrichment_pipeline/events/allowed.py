"""The kinds of private data, and which of them a project allows models to see; or that it shows no
free text at all.
"""

from enum import StrEnum
from typing import Final


class Private(StrEnum):
    """Kinds that a project may allow. Passwords in URLs are always masked."""

    EMAIL = "email"
    PHONE = "phone"
    NUMBER = "number"
    """Card and account numbers, and any other number of nine digits or more."""
    TOKEN = "token"  # noqa: S105
    QUERY = "query"
    """The query string and fragment of a URL or path."""
    NO_TEXT = "no-text"
    """Not allowed but taken away: no label, title, message or value of a property is shown, since
    nobody can recognize all that is private in them."""


NOTHING: Final[frozenset[Private]] = frozenset()


def parse_allowed(names: str) -> frozenset[Private]:
    """The kinds in `email+phone`.

    Raises:
        ValueError: a name is unknown; the message lists the known ones.
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
