"""Time to a target on a noisy curve."""

import numpy as np
from numpy.typing import ArrayLike


def first_passage(times: ArrayLike, values: ArrayLike, target: float) -> float:
    """Return the first time at which two consecutive evaluations are at or below a target.

    A single evaluation below the target could be noise, which would make the time too short. The
    time is interpolated linearly from the evaluation before; at the first evaluation, or after one
    that is not finite, it is the time of the evaluation.

    Args:
        times: Epochs or steps at which the curve was evaluated, shape (n,), increasing.
        values: Measure at these times, shape (n,); smaller is better, NaN counts as above.
        target: Threshold, in the unit of ``values``.

    Returns:
        Interpolated time, in the unit of ``times``; infinite if the target is not reached.

    Examples:
        >>> first_passage([1, 2, 3, 4], [0.5, 0.3, 0.2, 0.1], target=0.25)
        2.5
        >>> first_passage([1, 2, 3], [0.5, 0.2, 0.3], target=0.25)
        inf
    """
    t = np.asarray(times, dtype=np.float64)
    y = np.asarray(values, dtype=np.float64)
    assert t.shape == y.shape
    assert (np.diff(t) > 0).all()
    below = y <= target
    stays = np.flatnonzero(below[:-1] & below[1:])
    if stays.size == 0:
        return float("inf")
    i = int(stays[0])
    if i == 0 or not np.isfinite(y[i - 1]):
        return float(t[i])
    share = (y[i - 1] - target) / (y[i - 1] - y[i])
    return float(t[i - 1] + share * (t[i] - t[i - 1]))
