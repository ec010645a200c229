"""UUIDs for events that have none: made from the moment they arrived, or from their content.

What makes two events the same belongs to `store.load`.
"""

import os
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

_VARIANT = 0b10 << 62


def content_uuid(payload: bytes) -> UUID:
    """A UUID (version 8, RFC 9562) made from the bytes of an event: same event, same UUID."""
    value = int.from_bytes(blake2b(payload, digest_size=16).digest())
    return _versioned(value, 8)


def time_uuid(moment: datetime) -> UUID:
    """A new UUID of version 7 (RFC 9562): the milliseconds of `moment`, and 74 random bits.

    Python has one of its own from 3.14 on.
    """
    milliseconds = int(moment.timestamp() * 1000)
    return _versioned(milliseconds << 80 | int.from_bytes(os.urandom(10)), 7)


def _versioned(value: int, version: int) -> UUID:
    value = value & ~(0xF << 76) | version << 76
    return UUID(int=value & ~(0b11 << 62) | _VARIANT)
