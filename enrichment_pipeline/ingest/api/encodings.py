"""From the bytes of a request to JSON text: compression, forms and base64, never past a limit.

What the JSON says belongs to `bodies`.
"""

import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from urllib.parse import parse_qsl

import zstandard

from enrichment_pipeline.ingest.api.lz_string import LzStringError, decompress_base64

MAX_BODY_BYTES = 20 * 1024 * 1024
"""Of a request, before and after decompression: PostHog's own limit for a batch."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# What a frame may ask for before a byte of it is read.
_ZSTD_WINDOW = 8 * 1024 * 1024
_FORM = "application/x-www-form-urlencoded"
_MAX_FORM_FIELDS = 20
_JSON_STARTS = (b"{", b"[")


class RequestError(Exception):
    """A request that is refused as a whole: its HTTP status, and one line that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def json_text(body: bytes, content_type: str, content_encoding: str, compression: str) -> bytes:
    """The JSON text of a request's body.

    `compression` is the parameter of the URL with that name, or an empty text. gzip is told by its
    bytes, because posthog-js sends it as text/plain with no header that says so.

    Raises:
        RequestError: 400 where the body is no JSON in any known form, 413 where it is too large.
    """
    content = _decompressed(body, content_encoding)
    if content_type.partition(";")[0].strip().lower() == _FORM:
        return _form(content, compression)
    return _plain(content, compression)


def _form(content: bytes, compression: str) -> bytes:
    if content.lstrip().startswith(_JSON_STARTS):
        # Some clients say it is a form and send JSON.
        return _plain(content, compression)
    try:
        # What is not UTF-8 is carried through: whether it is part of an event, its parser says.
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
        return _plain(content, compression)
    data = fields["data"].encode(errors="surrogateescape")
    return _plain(data, compression or fields.get("compression", ""))


def _plain(content: bytes, compression: str) -> bytes:
    """JSON text, out of what a form or the parameter `data` of a URL may hold it in."""
    text = content.strip()
    if text.startswith(_JSON_STARTS):
        return text
    if compression == "lz64":
        try:
            unfolded = decompress_base64(text.replace(b" ", b"+"), MAX_BODY_BYTES)
        except LzStringError as error:
            raise RequestError(400, f"not lz64: {error}") from error
        return unfolded.encode().strip()
    if not text:
        raise RequestError(400, "the request is empty")
    try:
        # In a form, the plus of base64 turns into a space.
        decoded = b64decode(text.replace(b" ", b"+"), validate=True)
    except Base64Error as error:
        raise RequestError(400, "neither JSON nor base64 of JSON") from error
    return _decompressed(decoded, "").strip()


def data_parameter(value: str, compression: str) -> bytes:
    """The JSON text of `?data=…`.

    Raises:
        RequestError: as `json_text`.
    """
    return _plain(value.encode(), compression)


def _decompressed(content: bytes, content_encoding: str) -> bytes:
    if content.startswith(_GZIP_MAGIC):
        return _inflate(content, 16 + zlib.MAX_WBITS)
    if content_encoding == "deflate":
        return _inflate(content, zlib.MAX_WBITS)
    if content.startswith(_ZSTD_MAGIC):
        return _unzstd(content)
    return content


def _inflate(content: bytes, window_bits: int) -> bytes:
    stream = zlib.decompressobj(window_bits)
    try:
        text = stream.decompress(content, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise RequestError(400, f"not gzip or deflate: {error}") from error
    _check_size(text)
    if not stream.eof:
        raise RequestError(400, "the compressed body is cut off")
    return text


def _unzstd(content: bytes) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(content)
    try:
        text = reader.read(MAX_BODY_BYTES + 1)
    except zstandard.ZstdError as error:
        raise RequestError(400, f"not zstd: {error}") from error
    _check_size(text)
    return text


def _check_size(text: bytes) -> None:
    if len(text) > MAX_BODY_BYTES:
        raise RequestError(413, f"more than {MAX_BODY_BYTES:,} bytes when decompressed")
