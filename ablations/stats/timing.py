"""Time to a target, read off a noisy curve."""

import numpy as np
from numpy.typing import ArrayLike


def first_passage(times: ArrayLike, values: ArrayLike, target: float) -> float:
    """Return the first time that two evaluations in a row are at or below a target.

    The first passage of a noisy curve is biased early; a second evaluation below the target guards
    against a lucky one. Between the evaluations before and at the passage the curve is taken as a
    straight line. A passage at the first evaluation, or after one that is not finite, is dated by
    the evaluation itself.

    Args:
        times: Epochs, samples or seconds at which the curve was evaluated, shape (n,), increasing.
        values: Measure at these times, shape (n,), smaller is better; NaN is never below.
        target: Threshold, unit of ``values``.

    Returns:
        Interpolated time, unit of ``times``; infinite if the curve never stays below the target.

    Raises:
        ValueError: Times that do not increase, or as many values as times are not given.

    Examples:
        >>> first_passage([1, 2, 3, 4], [0.5, 0.3, 0.2, 0.1], target=0.25)
        2.5
        >>> first_passage([1, 2, 3], [0.5, 0.2, 0.3], target=0.25)
        inf
    """
    t = np.asarray(times, dtype=np.float64)
    y = np.asarray(values, dtype=np.float64)
    if t.shape != y.shape or (np.diff(t) <= 0).any():
        raise ValueError("a curve needs as many values as times, and increasing times")
    below = y <= target
    stays = np.flatnonzero(below[:-1] & below[1:])
    if stays.size == 0:
        return float("inf")
    i = int(stays[0])
    start = t[i - 1] if i else 0.0
    if i == 0 or not np.isfinite(y[i - 1]):
        return float(t[i])
    share = (y[i - 1] - target) / (y[i - 1] - y[i])
    return float(start + share * (t[i] - start))
