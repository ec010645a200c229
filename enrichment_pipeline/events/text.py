"""Text that PostgreSQL accepts: the one place where broken characters in JSON are repaired, and
where strings of an event are cleaned and cut.

The meaning of a string does not belong here.
"""

import re
from collections.abc import Iterable

import msgspec

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Within what every Python reads: 3.11 gives up at some 1,000 levels, less what the caller is deep;
# 3.14 reads some 50,000, but not all that handles an event afterwards would follow.
MAX_DEPTH = 500

# An escaped backslash is matched first and kept, so that the six characters `\\u0000` (a typed
# backslash, then u0000) are not taken for an escaped NUL.
_NUL_ESCAPE = re.compile(rb"\\\\|\\u0000")

# JavaScript's text is UTF-16, in which an emoji is two surrogates. Cutting text between them leaves
# one half; some encoders write each half as a character (CESU-8).
_SURROGATE_BYTES = re.compile(
    rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]|\xed[\xa0-\xbf][\x80-\xbf]"
)
# Every escape, so that the backslash of `\\ud83d` is not taken for the beginning of one; the group
# is a surrogate without its other half.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|.)",
    re.DOTALL,
)


def read_json(encoded: bytes | str) -> object:
    """The value of a JSON text, with U+FFFD in place of characters that cannot be read.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it has more than `MAX_DEPTH` levels.
    """
    if isinstance(encoded, str):
        encoded = encoded.encode(errors="surrogatepass")
    try:
        value: object = msgspec.json.decode(encoded)
    except ValueError:
        mended = readable_json(encoded)
        if mended == encoded:
            raise
        value = msgspec.json.decode(mended)
    # Counting is cheap, and nearly all texts have fewer brackets.
    if encoded.count(b"[") + encoded.count(b"{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise RecursionError(f"nested more than {MAX_DEPTH} levels deep")
    return value


def _is_deeper(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [part for whole in level for part in _parts_of(whole)]
        if not level:
            return False
    return True


def _parts_of(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def valid_json(text: str) -> msgspec.Raw:
    """A JSON text for inclusion in another one: as it is, or repaired like `read_json` if needed.

    Raises:
        ValueError, RecursionError: as `read_json`.
    """
    try:
        return msgspec.json.decode(text, type=msgspec.Raw)
    except ValueError:
        return msgspec.json.decode(readable_json(text.encode()), type=msgspec.Raw)


def readable_json(encoded: bytes) -> bytes:
    """JSON in UTF-8 that every parser accepts: surrogate pairs are joined, halves and bytes that
    are not UTF-8 become U+FFFD. Text that is not JSON stays invalid."""
    return whole_escapes(_SURROGATE_BYTES.sub(_joined, encoded).decode(errors="replace").encode())


def whole_escapes(encoded: bytes) -> bytes:
    """JSON with U+FFFD in place of each escape of half a character; the length stays the same."""
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], encoded)


def _joined(found: re.Match[bytes]) -> bytes:
    halves = found[0].decode(errors="surrogatepass").encode("utf-16-le", "surrogatepass")
    return halves.decode("utf-16-le", "replace").encode()


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
