"""What a finite test set adds to the uncertainty of a difference.

Seeds vary around the difference *on this test set*. A claim about *new images* also has to allow
for the images that happened to be in it, and more seeds do not remove that part (Miller 2024,
Adding error bars to evals; Bouthillier et al. 2021, arXiv:2103.03098).
"""

import numpy as np
from numpy.typing import NDArray

from ablations.stats.interval import Effect


def image_variance(
    wrong_without: NDArray[np.bool_], wrong_with_technique: NDArray[np.bool_]
) -> float:
    """Variance of a difference of errors due to the choice of test images.

    For one pair of seeds this is the variance behind the test of McNemar (1947),
    ``(p01 + p10 - (p01 - p10)^2) / N``. Over several pairs the images' mean differences are used:
    the part of it that is chance within a seed then shrinks, the part that is the images stays.

    Args:
        wrong_without: Misclassified images of the arm without the technique, shape (n, N), one row
            for each seed, images in the same order everywhere.
        wrong_with_technique: The same for the arm with the technique.

    Returns:
        Variance of the mean difference of error fractions.

    Raises:
        ValueError: The arms do not have the same seeds and images.

    Examples:
        >>> without = np.array([[True, True, False, False]])
        >>> image_variance(without, np.array([[True, False, False, False]]))
        0.046875
    """
    if wrong_without.shape != wrong_with_technique.shape or wrong_without.ndim != 2:
        raise ValueError(
            f"predictions of paired seeds must have one shape (seeds, images), got "
            f"{wrong_without.shape} and {wrong_with_technique.shape}"
        )
    difference = wrong_without.mean(0) - wrong_with_technique.mean(0)
    return float(difference.var() / difference.size)


def on_new_images(effect: Effect, variance: float) -> Effect:
    """The same effect with the uncertainty of the test images added.

    The seeds' variance holds a share of the images' chance already, so the sum errs on the wide
    side. Degrees of freedom after Satterthwaite (1946), the images' being taken as infinite.

    Args:
        effect: Effect on the test set at hand.
        variance: See :func:`image_variance`; unit of the effect, squared.
    """
    total = effect.se**2 + variance
    return Effect(effect.mean, total**0.5, effect.df * (total / effect.se**2) ** 2)
