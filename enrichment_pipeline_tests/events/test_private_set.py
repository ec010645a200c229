"""How much of the set of private texts is masked, and of the harmless ones too."""

import pytest

from enrichment_pipeline.events.masked import masked_text
from enrichment_pipeline.events.privacy import mask
from enrichment_pipeline_tests.events.private_set import (
    HARMLESS,
    LONGEST,
    PRIVATE,
    Sample,
    is_right,
    samples,
    score,
    written,
)


def test_the_set_is_large_enough_to_say_something() -> None:
    of_set = list(samples())
    assert len(PRIVATE) >= 30
    assert sum(bool(one.secret) for one in of_set) >= 600
    assert sum(not one.secret for one in of_set) >= 400
    assert max(len(one.text) for one in of_set) <= LONGEST
    assert len(HARMLESS) >= 10
    assert 0.25 < sum(one.is_held for one in of_set) / len(of_set) < 0.45


PARTS = {
    "looked at while the rules were written": [one for one in samples() if not one.is_held],
    "held back": [one for one in samples() if one.is_held],
    "written": list(written()),
}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_private_is_masked_and_what_is_harmless_stays(part: str) -> None:
    found = score(mask, PARTS[part])
    wrong = "\n".join(f"{one.kind}: {one.text} → {masked}" for one, masked in found.wrong)
    assert found.masked >= 0.97, wrong
    assert found.over_masked <= 0.03, wrong


@pytest.mark.parametrize("kind", PRIVATE)
def test_no_kind_is_left_out(kind: str) -> None:
    of_kind = [one for one in samples() if one.kind in {kind, "commit"}]
    assert score(mask, of_kind).masked >= 0.85


def test_what_is_masked_stays_so_on_its_way_out() -> None:
    for one in (*samples(), *written()):
        masked = masked_text(one.text, 120)
        assert masked_text(masked, 120) == masked
        assert mask(mask(one.text)) == mask(one.text)


def test_the_scorer_sees_a_piece_of_a_secret() -> None:
    sample = Sample("card", "paid by 4111 1111 1111 1111", "4111 1111 1111 1111", is_held=False)
    assert not is_right(sample, sample.text)
    assert not is_right(sample, "paid by 4111-11… ")
    assert is_right(sample, "paid by [card]")
    harmless = Sample("order", "Order 12", "", is_held=False)
    assert is_right(harmless, "Order 12")
    assert not is_right(harmless, "Order [number]")
