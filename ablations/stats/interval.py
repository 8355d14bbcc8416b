"""Standard deviation, interval and tests for paired differences that share a baseline.

With three seeds a claim's own variance has two degrees of freedom. Claims that share a baseline
lend each other theirs, one-sidedly: the pooled variance may raise a claim's own, never lower it.
The idea is that of Dunnett (1955), A multiple comparison procedure for comparing several treatments
with a control, and of Smyth (2004), Linear models and empirical Bayes methods.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Numbers = float | NDArray[np.float64]

# Squared correlation of two differences with a common baseline and equally noisy arms: (1/2)^2.
_SHARED = 0.25

# A claim this many times noisier than the median one has a spread of its own.
NOISY_RATIO = 3.0


@dataclass(frozen=True)
class Spread:
    """How far one paired difference scatters, for K claims of one pool.

    Attributes:
        sd: Standard deviation to use, shape (..., K), unit of the differences.
        df: Degrees of freedom of ``sd``, shape (..., K).
        own_sd: Standard deviation of the claim's own differences, shape (..., K).
        noisy: Claims kept out of the pool, shape (..., K), bool.
    """

    sd: NDArray[np.float64]
    df: NDArray[np.float64]
    own_sd: NDArray[np.float64]
    noisy: NDArray[np.bool_]


def spread(differences: NDArray[np.float64], floor: ArrayLike = 0.0) -> Spread:
    """Variance ``max(pooled, own, floor)`` of each claim, and its degrees of freedom.

    With n seeds for each of K claims the pooled variance is the mean of the claims' own and has
    ``K / (1 + (K - 1) / 4) * (n - 1)`` degrees of freedom: the shared baseline correlates the
    differences by 1/2, their variances by 1/4. Unequal n weigh the variances by ``n - 1``, and the
    degrees of freedom follow from the covariance of nested samples (Satterthwaite 1946). One claim
    alone gets exactly the paired t.

    A claim whose standard deviation is more than ``NOISY_RATIO`` times the median leaves the pool
    and is tested with its own ``n - 1``: the pool would make its interval too short and everybody
    else's too long.

    Args:
        differences: Shape (..., K, n), NaN where a claim has no such pair.
        floor: Least variance of one difference, broadcast to (..., K); unit squared.

    Raises:
        ValueError: A claim has fewer than two pairs.

    Examples:
        >>> two = spread(np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
        >>> two.sd.round(4), two.df
        (array([1.    , 0.7071]), array([3.2, 3.2]))
    """
    present = ~np.isnan(differences)
    count = present.sum(-1)
    if (count < 2).any():
        raise ValueError("a claim needs two pairs before its differences have a variance")
    dof = count - 1.0
    mean = np.where(present, differences, 0.0).sum(-1) / count
    squares = np.where(present, differences - mean[..., None], 0.0) ** 2
    sums = squares.sum(-1)
    own = sums / dof
    own_sd = np.sqrt(own)
    noisy = own_sd > NOISY_RATIO * np.median(own_sd, axis=-1, keepdims=True)

    weight = np.where(noisy, 0.0, dof)
    total = weight.sum(-1, keepdims=True)
    pooled = np.where(noisy, 0.0, sums).sum(-1, keepdims=True) / total
    overlap = np.minimum(weight[..., :, None], weight[..., None, :]).sum((-2, -1))[..., None]
    pooled_df = total**2 / ((1 - _SHARED) * total + _SHARED * overlap)

    variance = np.maximum(np.maximum(own, floor), np.where(noisy, 0.0, pooled))
    return Spread(np.sqrt(variance), np.where(noisy, dof, pooled_df), own_sd, noisy)


def effect_p(mean: Numbers, se: Numbers, df: Numbers) -> NDArray[np.float64]:
    """Two-sided p-values of no effect, from means, standard errors and degrees of freedom."""
    return 2 * stats.t.sf(np.abs(mean) / se, df)


def negligible_p(mean: Numbers, se: Numbers, df: Numbers, margin: Numbers) -> NDArray[np.float64]:
    """P-values of two one-sided tests that effects lie within ``margin`` of zero.

    Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach.
    """
    return stats.t.sf((margin - np.abs(mean)) / se, df)


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval; an end without a valid bound is infinite.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: Nominal error probability, both sides together (0.05 for 95 %).
    """

    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Effect:
    """An estimated effect and its t-tests.

    Attributes:
        mean: Mean difference; positive in the direction that the claim names.
        se: Standard error of ``mean``, same unit, positive.
        df: Degrees of freedom of ``se``; may be fractional.
    """

    mean: float
    se: float
    df: float

    def critical(self, level: float) -> float:
        """Standard errors from the mean to either end of an interval at ``level``."""
        return float(stats.t.isf(level / 2, self.df))

    def p_value(self) -> float:
        """See :func:`effect_p`."""
        return float(effect_p(self.mean, self.se, self.df))

    def negligible_p_value(self, margin: float) -> float:
        """See :func:`negligible_p`."""
        return float(negligible_p(self.mean, self.se, self.df, margin))

    def interval(self, level: float) -> Interval:
        """Interval that leaves out zero where :meth:`p_value` is below ``level``."""
        reach = self.critical(level) * self.se
        return Interval(self.mean - reach, self.mean + reach, level)

    def negligible_critical(self, level: float) -> float:
        """Standard errors from the mean to either end of :meth:`negligible_interval`."""
        return self.critical(2 * level)

    def negligible_interval(self, level: float) -> Interval:
        """Interval inside the margin where :meth:`negligible_p_value` is below ``level``."""
        return self.interval(2 * level)
