"""lz-string, against the library that writes it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lzstring import LZString

from enrichment_pipeline.ingest.api.lz_string import (
    LzStringError,
    LzTooLongError,
    decompress_base64,
)

MANY = 10_000_000


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])))
def test_what_the_library_compresses_is_read_back(text: str) -> None:
    compressed = LZString.compressToBase64(text).encode()
    assert decompress_base64(compressed, MANY) == text


@given(st.lists(st.sampled_from(["a", "ab", "é", "中", "{}"]), max_size=3_000).map("".join))
def test_long_repeating_texts_are_read_back(text: str) -> None:
    assert decompress_base64(LZString.compressToBase64(text).encode(), MANY) == text


def test_a_text_that_unfolds_past_the_limit_is_refused_before_it_is_unfolded() -> None:
    bomb = LZString.compressToBase64("a" * 1_000_000).encode()
    assert len(bomb) < 4_000
    with pytest.raises(LzTooLongError, match="more than 1,000"):
        decompress_base64(bomb, 1_000)


@given(st.binary())
def test_anything_else_is_refused_or_read(content: bytes) -> None:
    with contextlib.suppress(LzStringError):
        assert isinstance(decompress_base64(content, MANY), str)
