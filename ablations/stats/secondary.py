"""Numbers shown beside the verdict, which they never change."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ablations.stats.interval import Interval

# Below 6 pairs the smallest two-sided sign-flip p-value is above 5 %; above 16 the t-test has
# caught up and the enumeration takes seconds.
_FLIPS = range(6, 17)


@dataclass(frozen=True)
class PairedT:
    """The paired t-test of one claim by itself.

    Attributes:
        interval: Unadjusted interval of the mean difference.
        p: Two-sided p-value.
    """

    interval: Interval
    p: float


def paired_t(differences: NDArray[np.float64], level: float = 0.05) -> PairedT | None:
    """Student's (1908) test; None where it has no answer: under two pairs, or all alike."""
    # Alike up to rounding: what is left of the variance is noise of the arithmetic.
    if len(differences) < 2 or np.allclose(differences, differences[0], rtol=1e-12, atol=0):
        return None
    result: Any = stats.ttest_1samp(differences, 0.0)
    low, high = result.confidence_interval(1 - level)
    return PairedT(Interval(float(low), float(high), level), float(result.pvalue))


def sign_flip_p(differences: NDArray[np.float64]) -> float | None:
    """Two-sided p-value over all 2^n flips of the differences' signs; None outside 6 to 16 pairs.

    Examples:
        >>> sign_flip_p(np.arange(1.0, 7.0))
        0.03125
    """
    n = len(differences)
    if n not in _FLIPS:
        return None
    signs = 1 - 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    sums = np.abs(signs @ differences)
    # Sums that are equal on paper may differ in the last bit.
    return float(np.mean(sums >= sums[0] * (1 - 1e-12)))


@dataclass(frozen=True)
class SignTest:
    """How many pairs point which way.

    Attributes:
        positive: Pairs in the direction that the claim names.
        negative: Pairs against it; ties count for neither.
        p: Two-sided p-value, not adjusted.
    """

    positive: int
    negative: int
    p: float


def sign_test(differences: NDArray[np.float64]) -> SignTest:
    """Binomial test of the signs: a verdict from ranks for arms in which runs diverged.

    Examples:
        >>> sign_test(np.array([1.0, 2.0, -1.0, 0.0]))
        SignTest(positive=2, negative=1, p=1.0)
    """
    positive, negative = int((differences > 0).sum()), int((differences < 0).sum())
    if positive + negative == 0:
        return SignTest(0, 0, 1.0)
    return SignTest(
        positive, negative, float(stats.binomtest(positive, positive + negative).pvalue)
    )


def seed_correlation(
    without: NDArray[np.float64], with_technique: NDArray[np.float64]
) -> float | None:
    """Pearson correlation of two arms over their common seeds; None under three or if constant."""
    if len(without) < 3 or np.ptp(without) == 0 or np.ptp(with_technique) == 0:
        return None
    return float(np.corrcoef(without, with_technique)[0, 1])
