"""Decompressing lz-string, which very old posthog-js sends (`compression=lz64`), up to a limit.

The format is pieroxy's lz-string: LZ78 over UTF-16 code units, as a stream of bits in base64. The
library for Python decompresses whole texts only, and a text of a few hundred kilobytes can unfold
to more than memory holds.
"""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator

_BYTE, _WIDE, _END = 0, 1, 2


class LzStringError(ValueError):
    """The text is not lz-string, or is cut off."""


class LzTooLongError(LzStringError):
    """The text is longer than the limit."""


def decompress_base64(text: bytes, limit: int) -> str:
    """The text behind lz-string's base64 form, of at most `limit` UTF-16 code units.

    Raises:
        LzStringError: it is not lz-string, or is cut off.
        LzTooLongError: it is longer than the limit.
    """
    # The form may end in any number of =, where base64 has two at most.
    digits = text.rstrip(b"=")
    try:
        bits = _Bits(b64decode(digits + b"A" * (-len(digits) % 4), validate=True))
    except Base64Error as error:
        raise LzStringError("not base64") from error
    units: list[str] = []
    length = 0
    for entry in _entries(bits):
        length += len(entry)
        if length > limit:
            raise LzTooLongError(f"unfolds to more than {limit:,} characters")
        units.append(entry)
    # Each is one UTF-16 code unit; a character beyond the first plane comes as two of them.
    return "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class _Bits:
    """The bits of a text, the first of each byte its highest; a number has its lowest bit first."""

    def __init__(self, content: bytes) -> None:
        # As text, because a number is cut out of text in one step, not in one for each bit.
        self._bits = f"{int.from_bytes(content):0{8 * len(content)}b}"
        self._position = 0

    def take(self, count: int) -> int:
        end = self._position + count
        if end > len(self._bits):
            raise LzStringError("cut off")
        value = int(self._bits[self._position : end][::-1], 2)
        self._position = end
        return value


def _entries(bits: _Bits) -> Iterator[str]:
    """The entries of the dictionary that the text consists of, in order."""
    first = _literal(bits, bits.take(2))
    if first is None:
        return
    yield first
    # Codes 0 to 2 are no entries; the dictionary is counted with them.
    entries = ["", "", "", first]
    width, before = 3, first
    room = 4  # codes that still fit before they get one bit wider
    while (code := bits.take(width)) != _END:
        if code in (_BYTE, _WIDE):
            entries.append(str(_literal(bits, code)))
            code = len(entries) - 1
            room -= 1
            if not room:
                room, width = 1 << width, width + 1
        if code < len(entries):
            entry = entries[code]
        elif code == len(entries):
            entry = before + before[0]
        else:
            raise LzStringError("a code that was never defined")
        yield entry
        entries.append(before + entry[0])
        before = entry
        room -= 1
        if not room:
            room, width = 1 << width, width + 1


def _literal(bits: _Bits, code: int) -> str | None:
    if code == _END:
        return None
    if code not in (_BYTE, _WIDE):
        raise LzStringError("a code that was never defined")
    return chr(bits.take(8 if code == _BYTE else 16))
