"""Text that PostgreSQL accepts: the one place where strings of an event are cleaned and cut.

What a string means does not belong here.
"""

import re

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# An escaped backslash is matched first and kept, so that the six characters `\\u0000` (a backslash
# that somebody typed, then u0000) are not taken for an escaped NUL.
_NUL_ESCAPE = re.compile(rb"\\\\|\\u0000")


def clean_text(value: str, limit: int) -> str:
    """`value` cut at `limit` characters, with NUL (which `text` refuses) replaced by U+FFFD."""
    if len(value) > limit:
        value = value[:limit]
    if "\0" in value:
        value = value.replace("\0", REPLACEMENT)
    return value


def clean_json(encoded: bytes) -> bytes:
    """JSON with each escaped NUL (which `jsonb` refuses) replaced by an escaped U+FFFD."""
    if b"\\u0000" not in encoded:
        return encoded
    return _NUL_ESCAPE.sub(
        lambda match: match[0] if match[0] == b"\\\\" else b"\\ufffd",
        encoded,
    )
