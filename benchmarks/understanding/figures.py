"""How sure a share of right answers is, and whether two forms differ by more than chance.

Questions about one session depend on each other a little, so both are somewhat too sure. What is
counted belongs to `trial`.
"""

from math import comb, sqrt

_Z = 1.959964  # of 95 %


def wilson(right: int, asked: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson; from 0 to 1 where nothing was asked."""
    if not asked:
        return 0.0, 1.0
    share, squared = right / asked, _Z * _Z
    middle = share + squared / (2 * asked)
    half = _Z * sqrt(share * (1 - share) / asked + squared / (4 * asked * asked))
    whole = 1 + squared / asked
    # Rounding must not lead out of what a share can be.
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def sign_test(better: int, worse: int) -> float:
    """How probable it is by chance alone that of the questions that two forms answer differently
    so unequal a part is for one of them (McNemar, exact, two-sided)."""
    differ = better + worse
    tail = sum(comb(differ, number) for number in range(min(better, worse) + 1))
    return min(1.0, float(2 * tail / (1 << differ)))
