"""From the bytes of a request to JSON text."""

import gzip
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import Codec

from enrichment_pipeline.ingest.api.encodings import (
    MAX_BODY_BYTES,
    RequestError,
    TooLargeError,
    data_parameter,
    json_text,
)

TEXT = b'{"event": "a", "properties": {"text": "caf\xc3\xa9 \xf0\x9f\x98\x80 a+b"}}'
BASE64 = b64encode(TEXT).decode()
FORM = "application/x-www-form-urlencoded"


def brotli(text: bytes) -> bytes:
    compressed: bytes = Codec("brotli", compression_level=5).compress(text, asbytes=True)
    return compressed


BODIES = {
    "plain JSON": (TEXT, "application/json", "", ""),
    "plain JSON that says it is text": (TEXT, "text/plain", "", ""),
    "gzip without a header, as posthog-js": (gzip.compress(TEXT), "text/plain", "", "gzip-js"),
    "gzip with a header, as posthog-node": (gzip.compress(TEXT), "application/json", "gzip", ""),
    "a header that says gzip where nothing is": (TEXT, "application/json", "gzip", ""),
    "gzip of two members": (gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]), "", "", ""),
    "gzip with a line's end after it": (gzip.compress(TEXT) + b"\r\n", "text/plain", "", ""),
    "gzip with padding after it": (gzip.compress(TEXT) + bytes(512), "", "gzip", ""),
    "gzip with half a member after it": (gzip.compress(TEXT) + b"\x1f\x8b\x08", "", "gzip", ""),
    "deflate": (zlib.compress(TEXT), "application/json", "deflate", ""),
    "deflate with a line's end after it": (zlib.compress(TEXT) + b"\n", "", "deflate", ""),
    "deflate without zlib's header": (zlib.compress(TEXT, wbits=-15), "", "deflate", ""),
    "a header that says deflate where nothing is": (TEXT, "application/json", "deflate", ""),
    "Brotli, as posthog-go": (brotli(TEXT), "application/json", "br", ""),
    "Brotli with a header in capitals": (brotli(TEXT), "", " BR ", ""),
    "a header that says Brotli where nothing is": (TEXT, "application/json", "br", ""),
    "zstd": (zstandard.compress(TEXT), "application/json", "zstd", ""),
    "a form": (urlencode({"data": BASE64}).encode(), FORM, "", "base64"),
    "a form that names its compression": (
        urlencode({"data": BASE64, "compression": "base64"}).encode(),
        f"{FORM}; charset=utf-8",
        "",
        "",
    ),
    "a form with the plus of base64 unquoted": (f"data={BASE64}".encode(), FORM, "", "base64"),
    "a form of JSON": (urlencode({"data": TEXT}).encode(), FORM, "", ""),
    "JSON that says it is a form": (TEXT, FORM, "", ""),
    "base64 as text": (BASE64.encode(), "text/plain", "", "base64"),
    "base64 of gzip": (b64encode(gzip.compress(TEXT)), "text/plain", "", "base64"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_every_encoding_of_posthogs_clients_is_read(body: tuple[bytes, str, str, str]) -> None:
    assert json_text(*body) == TEXT


@pytest.mark.parametrize("compression", ["base64", ""])
def test_data_in_the_url_is_read(compression: str) -> None:
    assert data_parameter(BASE64, compression) == TEXT
    assert data_parameter(BASE64.replace("+", " "), compression) == TEXT
    assert data_parameter(TEXT.decode(), compression) == TEXT


def test_lz64_is_refused_in_words_and_json_that_is_called_so_is_read() -> None:
    assert json_text(TEXT, "", "", "lz64") == TEXT
    with pytest.raises(RequestError, match="send gzip, base64 or plain JSON") as refused:
        json_text(b"data=N4IgpgJiBcCMYE4A0J4A", FORM, "", "lz64")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("compress", "encoding"),
    [
        (gzip.compress, ""),
        (zstandard.compress, ""),
        (zlib.compress, "deflate"),
        (brotli, "br"),
    ],
    ids=["gzip", "zstd", "deflate", "Brotli"],
)
@pytest.mark.slow
def test_a_bomb_is_refused_and_costs_no_memory(
    compress: Callable[[bytes], bytes], encoding: str
) -> None:
    bomb = compress(bytes(400 * 1024 * 1024))
    tracemalloc.start()
    with pytest.raises(RequestError) as refused:
        json_text(bomb, "", encoding, "")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.status == 413
    assert peak < 4 * MAX_BODY_BYTES


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_limit_holds_for_every_encoding(body: tuple[bytes, str, str, str]) -> None:
    with pytest.raises(TooLargeError):
        json_text(*body, most=len(TEXT) - 1)


def test_a_second_frame_of_zstd_is_read() -> None:
    half = len(TEXT) // 2
    frames = b"".join(map(zstandard.compress, (TEXT[:half], TEXT[half:])))
    assert json_text(frames, "", "", "") == TEXT
    with pytest.raises(TooLargeError):
        json_text(frames, "", "", "", half + 1)


def test_more_members_of_gzip_than_anybody_sends_are_refused() -> None:
    with pytest.raises(RequestError, match="more than 16 members") as refused:
        json_text(gzip.compress(TEXT) + gzip.compress(b"") * 16, "", "", "")
    assert refused.value.status == 400


@pytest.mark.parametrize("half", [brotli(TEXT)[:-9], b"hello", b""])
def test_what_says_that_it_is_brotli_and_is_not_is_a_400(half: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        json_text(half, "application/json", "br", "")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"hello",
        b"\x1f\x8b",
        gzip.compress(TEXT, mtime=0)[:-9],
        b"data=%%%",
        zstandard.compress(TEXT)[:9],
        "data=" + "&".join("a=1" for _ in range(50)),
    ],
)
def test_what_nobody_can_read_is_a_400(body: bytes | str) -> None:
    content = body.encode() if isinstance(body, str) else body
    with pytest.raises(RequestError) as refused:
        json_text(content, FORM if b"data" in content else "", "", "")
    assert refused.value.status == 400


@given(
    st.binary()
    | st.binary().map(gzip.compress)
    | st.binary().map(zlib.compress)
    | st.binary().map(brotli),
    st.sampled_from(["", FORM, "text/plain", "application/json"]),
    st.sampled_from(["", "gzip", "deflate", "br"]),
    st.sampled_from(["", "base64", "lz64", "gzip-js"]),
)
def test_anything_is_read_or_refused_in_one_line(
    body: bytes, content_type: str, encoding: str, compression: str
) -> None:
    try:
        json_text(body, content_type, encoding, compression)
    except RequestError as error:
        assert error.status in {400, 413}
        assert "\n" not in str(error)
