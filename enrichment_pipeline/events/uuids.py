"""UUIDs for events without one: made from the moment of arrival, from the content, or from the
difference to another event with the same UUID.

Storing two events with one UUID belongs to `store.ingest.load`.
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


def another_uuid(uuid: UUID, *differences: str) -> UUID:
    """The UUID of an event whose own UUID another event has, made from what distinguishes them: the
    same each time that it arrives."""
    return content_uuid(b"\0".join([uuid.bytes, *(part.encode() for part in differences)]))


def time_uuid(moment: datetime) -> UUID:
    """A new UUID of version 7 (RFC 9562): the milliseconds of `moment`, and 74 random bits.

    Python has its own from 3.14 on.
    """
    milliseconds = int(moment.timestamp() * 1000)
    return _versioned(milliseconds << 80 | int.from_bytes(os.urandom(10)), 7)


def _versioned(value: int, version: int) -> UUID:
    value = value & ~(0xF << 76) | version << 76
    return UUID(int=value & ~(0b11 << 62) | _VARIANT)
