"""Standard deviations and t intervals of paired differences that share a baseline.

With three seeds, a comparison's own variance has two degrees of freedom. Comparisons that share a
baseline and a measure therefore pool their variances (Dunnett 1955, A multiple comparison procedure
for comparing several treatments with a control; Smyth 2004, Linear models and empirical Bayes
methods). Here the pooled variance replaces a comparison's own only if it is larger.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

# Squared correlation of two differences with a common baseline and equally noisy arms: (1/2)^2.
_SHARED = 0.25

# A comparison this many times noisier than the median one is not pooled.
NOISY_RATIO = 3.0


@dataclass(frozen=True)
class Spread:
    """Standard deviation of one paired difference, for the K comparisons of one pool.

    Attributes:
        sd: Standard deviation to use, shape (K,), in the unit of the differences.
        df: Degrees of freedom of ``sd``, shape (K,).
        own_sd: Standard deviation of the comparison's own differences, shape (K,).
        noisy: Comparisons excluded from the pool, shape (K,), bool.
    """

    sd: Floats
    df: Floats
    own_sd: Floats
    noisy: NDArray[np.bool_]


def spread(differences: Floats, floor: Floats | float = 0.0) -> Spread:
    """Estimate the variance ``max(pooled, own, floor)`` and its degrees of freedom.

    With n seeds for each of K comparisons, the pooled variance is the mean of their own and has
    ``K / (1 + (K - 1) / 4) * (n - 1)`` degrees of freedom, because the shared baseline correlates
    the differences by 1/2 and their variances by 1/4. For unequal n, variances are weighted by
    ``n - 1``, and the degrees of freedom follow from the covariance of nested samples
    (Satterthwaite 1946). A single comparison gives the paired t interval.

    A comparison whose standard deviation is more than ``NOISY_RATIO`` times the median is not
    pooled and uses its own ``n - 1`` degrees of freedom.

    Args:
        differences: Shape (K, n), NaN for missing pairs, at least two pairs in each row.
        floor: Smallest variance of one difference, a number or shape (K,), in the unit squared.

    Examples:
        >>> two = spread(np.array([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
        >>> two.sd.round(4), two.df
        (array([1.    , 0.7071]), array([3.2, 3.2]))
    """
    present = ~np.isnan(differences)
    count = present.sum(1)
    assert (count >= 2).all(), "the caller leaves out comparisons with fewer pairs"
    dof = count - 1.0
    mean = np.where(present, differences, 0.0).sum(1) / count
    sums = (np.where(present, differences - mean[:, None], 0.0) ** 2).sum(1)
    own = sums / dof
    own_sd = np.sqrt(own)
    noisy = own_sd > NOISY_RATIO * np.median(own_sd)

    weight = np.where(noisy, 0.0, dof)
    total = weight.sum()
    pooled = np.where(noisy, 0.0, sums).sum() / total
    overlap = np.minimum(weight[:, None], weight).sum()
    pooled_df = total**2 / ((1 - _SHARED) * total + _SHARED * overlap)

    variance = np.maximum(np.maximum(own, floor), np.where(noisy, 0.0, pooled))
    return Spread(np.sqrt(variance), np.where(noisy, dof, pooled_df), own_sd, noisy)


def critical(level: float, df: float) -> float:
    """Return the two-sided critical value of t, with ``level`` in both tails together.

    Examples:
        >>> round(critical(0.05, 2), 2)
        4.3
    """
    return float(-special.stdtrit(df, level / 2))
