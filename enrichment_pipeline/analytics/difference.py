"""Whether two shares differ by more than chance, and how many of many comparisons do.

- One comparison: Fisher's exact test, two-sided, as R's `fisher.test` computes it (the sum of the
  probabilities of all tables that are no more probable than the one that was seen). Of more than
  2,000 where every expected number is at least five (Cochran 1954), the test of two proportions
  with the pooled variance: it is the chi-squared test of the table (Agresti, Categorical Data
  Analysis, 3.2), and comes near the other.
- Many comparisons: Benjamini and Hochberg, Controlling the False Discovery Rate, 1995. Of what is
  called different, at most `FALSE` is so by chance, on average.
"""

from collections.abc import Sequence
from math import erfc, exp, lgamma, sqrt

FALSE = 0.05
"""The share of false ones among those that are called different."""

_FEWEST_EXPECTED = 5
_MANY = 2_000
# Tables that are as probable as the one that was seen, but for rounding.
_AS_PROBABLE = 1 + 1e-7


def probability(these: int, of_these: int, others: int, of_others: int) -> float:
    """How probable so great a difference of two shares is (`these` of `of_these`, `others` of
    `of_others`) if there is none; 0 to 1."""
    everyone, having = of_these + of_others, these + others
    fewest = min(of_these, of_others) * min(having, everyone - having) / everyone
    if everyone <= _MANY or fewest < _FEWEST_EXPECTED:
        return _exact(these, of_these, having, everyone)
    share = having / everyone
    deviation = sqrt(share * (1 - share) * (1 / of_these + 1 / of_others))
    return erfc(abs(these / of_these - others / of_others) / deviation / sqrt(2))


def corrected(probabilities: Sequence[float]) -> list[float]:
    """The probabilities, corrected for how many there are: one that is at most `FALSE` is called a
    difference."""
    many = len(probabilities)
    found = [1.0] * many
    least = 1.0
    ranked = sorted(range(many), key=probabilities.__getitem__, reverse=True)
    for rank, place in zip(range(many, 0, -1), ranked, strict=True):
        least = min(least, probabilities[place] * many / rank)
        found[place] = least
    return found


def _exact(these: int, of_these: int, having: int, everyone: int) -> float:
    lowest, highest = max(0, having + of_these - everyone), min(having, of_these)
    of_all = _choose(everyone, of_these)
    each = [
        exp(_choose(having, n) + _choose(everyone - having, of_these - n) - of_all)
        for n in range(lowest, highest + 1)
    ]
    seen = each[these - lowest] * _AS_PROBABLE
    return min(1.0, sum(one for one in each if one <= seen))


def _choose(many: int, chosen: int) -> float:
    """The logarithm of the number of ways to choose so many."""
    return lgamma(many + 1) - lgamma(chosen + 1) - lgamma(many - chosen + 1)
