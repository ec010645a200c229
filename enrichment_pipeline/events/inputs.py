"""Action inputs: the few values on which everything derived from an event depends.

Millions of events share some thousands of inputs, so each distinct one is stored once, under a key,
and the rules run once for each. Values that differ from event to event must not be part of it: the
number of keys would be unbounded.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID


class EnrichmentInput(NamedTuple):
    """An action input: what the rules and `describe` may read of an event."""

    event: str
    sub_type: str | None
    """`$event_type`: click, submit, change."""
    path_template: str | None
    elements_chain: str | None
    element_text: str | None
    unmasked: str | None = None
    """The kinds of private data that its project allows models to see (`email+phone`)."""


class EnrichmentOutput(NamedTuple):
    """An action output: what the rules and `describe` derived from one action input."""

    event_type: str
    action_type: str
    path_template: str | None
    element_tag: str | None
    element_label: str | None
    description: str
    touch: str | None = None
    """See `events.touches`."""


@lru_cache(maxsize=8_192)
def input_key(values: EnrichmentInput) -> UUID:
    """The key of an action input: 128 bits of BLAKE2b over its values.

    The length before each value distinguishes ("ab", "c") from ("a", "bc"), and -1 distinguishes a
    missing value from an empty one.
    """
    digest = blake2b(digest_size=16)
    # Nearly all inputs allow nothing: left out, so that their keys equal those of older versions.
    for value in values if values.unmasked is not None else values[:-1]:
        encoded = b"" if value is None else value.encode()
        digest.update(b"%d:" % (-1 if value is None else len(encoded)))
        digest.update(encoded)
    return UUID(bytes=digest.digest())
