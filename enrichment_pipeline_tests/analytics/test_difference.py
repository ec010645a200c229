"""Whether a difference is more than chance: against counting all tables, and published results."""

import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrichment_pipeline.analytics.difference import FALSE, corrected, probability


def by_counting(these: int, of_these: int, others: int, of_others: int) -> Fraction:
    """Fisher's exact test over all tables with these margins, without rounding."""
    having, everyone = these + others, of_these + of_others
    each = [
        Fraction(comb(having, n) * comb(everyone - having, of_these - n), comb(everyone, of_these))
        for n in range(max(0, having + of_these - everyone), min(having, of_these) + 1)
    ]
    seen = Fraction(comb(having, these) * comb(everyone - having, of_these - these))
    return sum((one for one in each if one <= seen / comb(everyone, of_these)), Fraction())


@given(st.data())
def test_small_numbers_are_tested_exactly(data: st.DataObject) -> None:
    of_these, of_others = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 400))
    these, others = data.draw(st.integers(0, of_these)), data.draw(st.integers(0, of_others))
    expected = by_counting(these, of_these, others, of_others)
    assert probability(these, of_these, others, of_others) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        # R's fisher.test of Fisher's tea tasting, and of his convictions of twins.
        ((3, 4, 1, 4), 0.4857),
        ((2, 17, 10, 13), 0.0005367),
        # Agresti, Categorical Data Analysis: aspirin and heart attacks, z = 5.00.
        ((189, 11_034, 104, 11_037), 5.7e-7),
        ((50, 100, 50, 100), 1.0),
        ((0, 5, 0, 5), 1.0),
    ],
)
def test_results_that_are_known_come_out(table: tuple[int, int, int, int], expected: float) -> None:
    assert probability(*table) == pytest.approx(expected, rel=0.02)


def test_large_numbers_come_near_the_exact_test() -> None:
    for these, others in ((300, 260), (300, 280), (500, 400), (40, 80)):
        exact = float(by_counting(these, 2_000, others, 2_000))
        assert probability(these, 2_000, others, 2_000) == pytest.approx(exact, rel=0.25, abs=1e-9)


def test_benjamini_and_hochberg_find_what_they_found_themselves() -> None:
    # Of their paper of 1995: 15 comparisons, of which 4 are called different.
    found = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    found += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    assert sum(one <= FALSE for one in corrected(found)) == 4
    assert corrected(found)[3] == pytest.approx(0.0095 * 15 / 4)
    assert corrected([]) == []


@given(st.lists(st.floats(0, 1), max_size=30))
def test_correcting_keeps_the_order_and_makes_nothing_smaller(found: list[float]) -> None:
    made = corrected(found)
    assert all(
        one <= other * (1 + 1e-9) and other <= 1 for one, other in zip(found, made, strict=True)
    )
    pairs = sorted(zip(found, made, strict=True))
    assert [one for _, one in pairs] == sorted(made)


def test_where_nothing_differs_hardly_anything_is_called_different() -> None:
    chance = random.Random(7)
    called = 0
    for _ in range(40):
        tables = [
            (
                sum(chance.random() < share for _ in range(60)),
                sum(chance.random() < share for _ in range(200)),
            )
            for share in (0.02, 0.1, 0.3, 0.5) * 5
        ]
        found = corrected([probability(these, 60, others, 200) for these, others in tables])
        called += any(one <= FALSE for one in found)
    # One in twenty of 40 is 2; six or more would be so once in sixty runs of an honest test.
    assert called <= 5
