"""From the bytes of a request to JSON text: compression, forms and base64, never past a limit.

Reading the JSON belongs to `bodies`.
"""

import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from urllib.parse import parse_qsl

import zstandard

MAX_BODY_BYTES = 20 * 1024 * 1024
"""Bytes of a body, before and after decompression: PostHog's own limit for a batch."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZLIB_START = b"\x78"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Memory that a zstd frame may demand before a byte of it is read.
_ZSTD_WINDOW = 8 * 1024 * 1024
# A gzip file may have many members; the bytes behind each are copied once more.
_MAX_GZIP_MEMBERS = 16
_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_FIELDS = 20
_JSON_STARTS = (b"{", b"[")


class RequestError(Exception):
    """The request is refused as a whole: its HTTP status, and one line that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TooLargeError(RequestError):
    """413: the body is larger than it may be, before or after decompression."""

    def __init__(self, most: int) -> None:
        super().__init__(413, f"more than {most:,} bytes")


def json_text(
    body: bytes,
    content_type: str,
    content_encoding: str,
    compression: str,
    most: int = MAX_BODY_BYTES,
) -> bytes:
    """The JSON text of a request's body, which has at most `most` bytes in any of its forms.

    `compression` is the parameter of the URL with that name, or an empty text. gzip and zstd are
    recognized by their bytes, because posthog-js sends gzip as text/plain without a header.

    Raises:
        RequestError: 400 where the body is no JSON in any known form.
        TooLargeError: 413, there would be more bytes; no more than `most` were decompressed.
    """
    content = _decompressed(body, content_encoding, most)
    if content_type.partition(";")[0].strip().lower() == _FORM:
        return _form(content, compression, most)
    return _plain(content, compression, most)


def _form(content: bytes, compression: str, most: int) -> bytes:
    if content.lstrip().startswith(_JSON_STARTS):
        # Some clients declare a form and send JSON.
        return _plain(content, compression, most)
    try:
        # Bytes that are not UTF-8 are carried through: the parser of the event judges them.
        fields = dict(
            parse_qsl(
                content.decode(errors="surrogateescape"),
                errors="surrogateescape",
                max_num_fields=_MAX_FORM_FIELDS,
            )
        )
    except ValueError as error:
        raise RequestError(400, f"not a form: {error}") from error
    if "data" not in fields:
        return _plain(content, compression, most)
    data = fields["data"].encode(errors="surrogateescape")
    return _plain(data, compression or fields.get("compression", ""), most)


def _plain(content: bytes, compression: str, most: int) -> bytes:
    """The JSON text in the field of a form or in the parameter `data` of a URL, in any encoding."""
    text = content.strip()
    if text.startswith(_JSON_STARTS):
        return text
    if compression == "lz64":
        # Old posthog-js can, but sends it only to who offers it (`browser`).
        raise RequestError(400, "lz64 is not read here: send gzip, base64 or plain JSON")
    if not text:
        raise RequestError(400, "the request is empty")
    try:
        # In a form, the plus of base64 turns into a space.
        decoded = b64decode(text.replace(b" ", b"+"), validate=True)
    except Base64Error as error:
        raise RequestError(400, "neither JSON nor base64 of JSON") from error
    return _decompressed(decoded, "", most).strip()


def data_parameter(value: str, compression: str, most: int = MAX_BODY_BYTES) -> bytes:
    """The JSON text of `?data=…`.

    Raises:
        RequestError, TooLargeError: as `json_text`.
    """
    return _plain(value.encode(), compression, most)


def _decompressed(content: bytes, content_encoding: str, most: int) -> bytes:
    if len(content) > most:
        raise TooLargeError(most)
    text = _decoded(content, content_encoding.strip().lower(), most)
    if len(text) > most:
        raise TooLargeError(most)
    return text


def _decoded(content: bytes, coding: str, most: int) -> bytes:
    """Decode the coding that the header names, if the bytes do not show it. Where the header names
    one and the text is plain, a proxy decoded it and left the header."""
    if coding in _DECLARED_BY_HEADER:
        try:
            return _DECLARED_BY_HEADER[coding](content, most)
        except RequestError:
            if not content.lstrip().startswith(_JSON_STARTS):
                raise
            return content
    if content.startswith(_GZIP_MAGIC):
        return _gunzip(content, most)
    return _unzstd(content, most) if content.startswith(_ZSTD_MAGIC) else content


def _gunzip(content: bytes, most: int) -> bytes:
    """Decompress all gzip members. Other bytes behind them are left out, as PostHog and gzip do:
    whether these held events shows in the JSON, which is then not whole."""
    text, rest = _inflate(content, 16 + zlib.MAX_WBITS, most)
    texts, size = [text], len(text)
    while rest.startswith(_GZIP_MAGIC) and size <= most:
        if len(texts) == _MAX_GZIP_MEMBERS:
            raise RequestError(400, f"gzip of more than {_MAX_GZIP_MEMBERS} members")
        try:
            text, rest = _inflate(rest, 16 + zlib.MAX_WBITS, most - size)
        except RequestError:
            break
        texts.append(text)
        size += len(text)
    return b"".join(texts)


def _undeflate(content: bytes, most: int) -> bytes:
    """Decompress deflate, with zlib's header (the standard), or without (some clients)."""
    if content.startswith(_ZLIB_START):
        return _inflate(content, zlib.MAX_WBITS, most)[0]
    text, rest = _inflate(content, -zlib.MAX_WBITS, most)
    if rest:
        # Without a checksum, the first bytes of any text may look like deflate.
        raise RequestError(400, "not deflate: something follows it")
    return text


def _inflate(content: bytes, window_bits: int, most: int) -> tuple[bytes, bytes]:
    """The text, and the bytes behind the end of the stream."""
    stream = zlib.decompressobj(window_bits)
    try:
        text = stream.decompress(content, most + 1)
    except zlib.error as error:
        raise RequestError(400, f"not gzip or deflate: {error}") from error
    if len(text) <= most and not stream.eof:
        raise RequestError(400, "the compressed body is cut off")
    return text, stream.unused_data


def _unbrotli(content: bytes, most: int) -> bytes:
    # Imported here, because pyarrow takes 30 MB, and few clients send Brotli.
    from pyarrow import BufferReader, CompressedInputStream

    try:
        return bytes(CompressedInputStream(BufferReader(content), "brotli").read(most + 1))
    except OSError as error:
        raise RequestError(400, f"not Brotli: {error}") from error


def _unzstd(content: bytes, most: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        return decompressor.stream_reader(content, read_across_frames=True).read(most + 1)
    except zstandard.ZstdError as error:
        raise RequestError(400, f"not zstd: {error}") from error


_DECLARED_BY_HEADER = {"br": _unbrotli, "deflate": _undeflate}
