"""Payloads as they are stored: zstd, with a dictionary of what PostHog's events have in common.

An event is too short for zstd to learn its repeating keys from. With the dictionary it takes a
third of the space; each frame names the dictionary that it needs.
"""

from functools import cache
from pathlib import Path
from threading import local

import zstandard

_LEVEL = 1

# A compressor must not be used by two threads at a time.
_of_thread = local()

_NEWEST = 1
"""The number of the dictionary for new payloads. A better one gets the next number; old files stay,
because stored payloads need them."""


def compress(payload: bytes) -> bytes:
    """The bytes to store."""
    if not hasattr(_of_thread, "compressor"):
        _of_thread.compressor = zstandard.ZstdCompressor(
            level=_LEVEL, dict_data=_dictionary(_NEWEST)
        )
    return bytes(_of_thread.compressor.compress(payload))


def decompress(stored: bytes) -> bytes:
    """The payload, exactly as it arrived."""
    number = zstandard.get_frame_parameters(stored).dict_id
    return zstandard.ZstdDecompressor(dict_data=_dictionary(number)).decompress(stored)


@cache
def _dictionary(number: int) -> zstandard.ZstdCompressionDict:
    file = Path(__file__).parent / f"payload_dictionary_{number}.zdict"
    dictionary = zstandard.ZstdCompressionDict(file.read_bytes())
    # Without this cache the dictionary would be read again for each event.
    dictionary.precompute_compress(level=_LEVEL)
    return dictionary
