"""The inputs of the rules: the few values on which everything derived from an event depends.

Millions of events share some thousands of inputs, so each distinct one is kept once, under a key,
and the rules run once for each. What differs from event to event must stay out of here: it would
make the keys unbounded.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID


class EnrichmentInput(NamedTuple):
    """What the rules and the describing of an event may look at."""

    event: str
    sub_type: str | None
    """`$event_type`: click, submit, change."""
    path_template: str | None
    elements_chain: str | None
    element_text: str | None
    unmasked: str | None = None
    """The kinds of private things that its project lets models see (`email+phone`)."""


class EnrichmentOutput(NamedTuple):
    """What the rules and the describing said of one input."""

    event_type: str
    action_type: str
    path_template: str | None
    element_tag: str | None
    element_label: str | None
    description: str


@lru_cache(maxsize=8_192)
def input_key(values: EnrichmentInput) -> UUID:
    """The key of an input: 128 bits of BLAKE2b over its values.

    The length in front of each value keeps ("ab", "c") apart from ("a", "bc"), and -1 keeps a
    missing value apart from an empty one.
    """
    digest = blake2b(digest_size=16)
    # Nearly all have nothing unmasked: left out, so that their keys are those of older versions.
    for value in values if values.unmasked is not None else values[:-1]:
        encoded = b"" if value is None else value.encode()
        digest.update(b"%d:" % (-1 if value is None else len(encoded)))
        digest.update(encoded)
    return UUID(bytes=digest.digest())
