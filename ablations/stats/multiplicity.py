"""Several claims, one error rate."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Method = Literal["holm", "bonferroni", "fdr_bh"]


@dataclass(frozen=True)
class Adjusted:
    """What a family makes of its members' p-values.

    Attributes:
        p: Adjusted p-values, shape (K,).
        level: Level at which each member is tested, shape (K,): an interval at this level leaves
            out zero exactly where ``p`` is at most alpha.
    """

    p: NDArray[np.float64]
    level: NDArray[np.float64]


def adjust(p: ArrayLike, alpha: float, method: Method) -> Adjusted:
    """Adjust the p-values of a family, and find the level that each member was tested at.

    Holm (1979) and Bonferroni keep the probability of any false rejection at ``alpha``, Benjamini
    and Hochberg (1995) the expected share of false ones. Holm's k-th smallest p-value is tested at
    ``alpha / (K - k + 1)``, and those left over at the level that the first of them failed. Under
    Benjamini-Hochberg the rejected ones get ``alpha R / K`` (Benjamini and Yekutieli 2005, False
    discovery rate-adjusted confidence intervals).

    Args:
        p: P-values, shape (K,).
        alpha: Error rate of the family.
        method: ``holm``, ``bonferroni`` or ``fdr_bh``.

    Examples:
        >>> holm = adjust([0.01, 0.04, 0.03], 0.05, "holm")
        >>> holm.p.round(3), holm.level.round(4)
        (array([0.03, 0.06, 0.06]), array([0.0167, 0.025 , 0.025 ]))
    """
    raw = np.asarray(p, dtype=np.float64)
    size = len(raw)
    order = np.argsort(raw, kind="stable")
    place = np.argsort(order)  # of each member from the smallest p-value, 0 to K - 1
    if method == "holm":
        adjusted = np.maximum.accumulate(raw[order] * (size - np.arange(size)))[place]
    elif method == "fdr_bh":
        stepped = raw[order] * size / np.arange(1, size + 1)
        adjusted = np.minimum.accumulate(stepped[::-1])[::-1][place]
    else:
        adjusted = raw * size
    rejected = adjusted <= alpha
    count = int(rejected.sum())
    if method == "holm":
        level = alpha / (size - np.minimum(place, min(count, size - 1)))
    elif method == "fdr_bh":
        level = alpha * np.where(rejected, count, min(count + 1, size)) / size
    else:
        level = np.full(size, alpha / size)
    return Adjusted(np.minimum(adjusted, 1.0), level)
