"""Payloads come back to the byte, whoever asks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import enrichment_pipeline.ingest.sample
from enrichment_pipeline.store.database.payloads import compress, decompress
from enrichment_pipeline_tests.conftest import make_event

SAMPLE = Path(str(enrichment_pipeline.ingest.sample.__file__)).with_name("posthog_js_sample.jsonl")


@given(st.binary(max_size=2_000))
def test_any_bytes_come_back(payload: bytes) -> None:
    assert decompress(compress(payload)) == payload


def test_many_threads_do_not_mix_up_their_payloads() -> None:
    payloads = [make_event(properties={"n": "x" * number}) for number in range(500)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(decompress, pool.map(compress, payloads))) == payloads


def test_an_event_of_posthog_js_takes_a_fifth_of_its_size() -> None:
    events = SAMPLE.read_bytes().splitlines()
    stored = [compress(event) for event in events]
    assert sum(map(len, stored)) < sum(map(len, events)) / 5
