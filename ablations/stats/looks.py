"""Nominal levels of several looks that together keep one error rate.

The looks are fixed in advance, and each spends a part of the error rate (Lan and DeMets 1983,
Discrete sequential boundaries for clinical trials).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

# Grid of the z-score of the t statistic, and number of quadrature nodes for the next observation.
_GRID = np.linspace(-7.0, 7.0, 1201)
_NODES = 64


def spent(information: ArrayLike, alpha: float) -> NDArray[np.float64]:
    """Return the error probability spent at a fraction of the final sample.

    It has the O'Brien-Fleming-type shape of a two-sided 5 % test, scaled to ``alpha``, so that any
    share of a family's alpha is spent in the same proportions.

    Args:
        information: Fraction of the final number of pairs, in (0, 1].
        alpha: Two-sided error probability spent at the end.

    Examples:
        >>> spent([0.375, 1.0], 0.05).round(4)
        array([0.0014, 0.05  ])
    """
    fraction = np.asarray(information, dtype=np.float64)
    return alpha / 0.05 * 2 * stats.norm.sf(stats.norm.isf(0.025) / np.sqrt(fraction))


def _cosine(z: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    # Cosine between the n observations and a constant vector, where the t statistic has z-score z.
    t = stats.t.isf(stats.norm.sf(np.abs(z)), n - 1)
    return np.sign(z) * t / np.hypot(t, np.sqrt(n - 1))


def _z_score(cosine: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    t = np.abs(cosine) * np.sqrt((n - 1) / np.maximum(1 - cosine**2, 1e-300))
    return -np.sign(cosine) * special.ndtri(special.stdtr(n - 1, -t))


def _observe(mass: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the probabilities of the z-scores in ``_GRID`` after one more than n observations."""
    # Under the null hypothesis the cosine is a Markov chain: the angle by which an observation
    # turns the sample vector has a density proportional to cos(angle)^(n - 1).
    sine, weight = special.roots_gegenbauer(_NODES, (n - 1) / 2)
    before = _cosine(_GRID, n)[:, None]
    after = (np.sqrt(n * (1 - sine**2)) * before + sine) / np.sqrt(n + 1)
    place = (_z_score(after, n + 1) - _GRID[0]) / (_GRID[1] - _GRID[0])
    place = np.clip(place, 0, len(_GRID) - 1.001)
    cell = place.astype(int)
    share = (place - cell).ravel()
    moved = (mass[:, None] * weight / weight.sum()).ravel()
    cells = np.concatenate([cell.ravel(), cell.ravel() + 1])
    shares = np.concatenate([(1 - share) * moved, share * moved])
    return np.bincount(cells, shares, len(_GRID)).astype(np.float64)


@lru_cache(maxsize=256)
def nominal_levels(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Return the two-sided p-value at or below which to reject at each look.

    Computed for the one-sample t statistic by recursive integration, after Jennison and Turnbull
    (1991), Exact calculations for sequential t, chi-squared and F tests. For p-values of other t
    statistics the error rate holds approximately (Jennison and Turnbull 2000, section 11.5).

    Args:
        looks: Number of pairs at each look, increasing, at least 2.
        alpha: Two-sided error probability over all looks.

    Examples:
        >>> [round(level, 4) for level in nominal_levels((3, 5, 8), 0.05)]
        [0.0014, 0.012, 0.0416]
    """
    step = _GRID[1] - _GRID[0]
    upper = _GRID > 0
    mass = stats.norm.pdf(_GRID) * step
    n, used = looks[0], 0.0
    levels: list[float] = []
    for look, total in zip(looks, spent(np.array(looks) / looks[-1], alpha), strict=True):
        while n < look:
            mass = _observe(mass, n)
            n += 1
        if levels:
            # Both tails beyond each grid point, with half of the point's own mass.
            tail = 2 * (np.cumsum(mass[::-1])[::-1] - mass / 2)[upper]
            tail = np.log(np.maximum(tail, 1e-300))
            bound = np.interp(np.log(total - used), tail[::-1], _GRID[upper][::-1])
            levels.append(float(2 * stats.norm.sf(bound)))
        else:
            levels.append(float(total))
        bound = stats.norm.isf(levels[-1] / 2)
        # Remove the studies that stop here: all cells beyond the bound, and part of the bound's.
        mass = mass * (1 - np.clip((np.abs(_GRID) - bound) / step + 0.5, 0, 1))
        used = total
    return tuple(levels)
