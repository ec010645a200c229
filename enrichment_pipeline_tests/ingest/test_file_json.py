"""Cutting JSON text into events must not depend on where its chunks happen to end."""

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrichment_pipeline.ingest.file_json import read_elements, read_lines

# The first example of a process pays for imports, and machines under load pause.
unhurried = settings(deadline=None, max_examples=40)

objects = st.dictionaries(
    st.text(alphabet='"\\{}[],ab\n', max_size=6),
    st.text(alphabet='"\\{}[],ab\n', max_size=6) | st.lists(st.dictionaries(st.text(), st.none())),
    max_size=3,
).map(lambda value: json.dumps(value).encode())


def cut(data: st.DataObject, text: bytes) -> Iterator[bytes]:
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    return (text[start:end] for start, end in pairwise(sorted({0, *places, len(text)})))


@unhurried
@given(st.lists(objects), st.data())
@pytest.mark.slow
def test_elements_do_not_depend_on_where_chunks_end(
    events: list[bytes], data: st.DataObject
) -> None:
    text = b" , ".join(events) + b"]\n"
    assert [record.payload for record in read_elements(cut(data, text), b"")] == events


@unhurried
@given(st.lists(objects), st.data())
@pytest.mark.slow
def test_elements_of_a_body_do_not_depend_on_where_chunks_end(
    events: list[bytes], data: st.DataObject
) -> None:
    text = b",".join(events) + b'], "other": {"list": [{}, {}]}}'
    assert [record.payload for record in read_elements(cut(data, text), b'{"batch":')] == events


@unhurried
@given(st.lists(objects), st.data())
@pytest.mark.slow
def test_lines_do_not_depend_on_where_chunks_end(events: list[bytes], data: st.DataObject) -> None:
    text = b"\r\n\n".join(events)
    records = list(read_lines(cut(data, text)))
    assert [record.payload for record in records] == events
    assert [record.position for record in records] == list(range(1, 2 * len(events), 2))
