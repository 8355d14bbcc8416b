"""Power: the probability of the label ``holds``, for plans."""

from functools import lru_cache

import numpy as np
from scipy import special

from ablations.stats.looks import nominal_levels

REPEATS = 20_000


@lru_cache(maxsize=512)
def chance_to_hold(
    effect: float,
    sd: float,
    margin: float,
    looks: tuple[int, ...],
    level: float,
    pool: int = 1,
    parts: int = 1,
) -> float:
    """Return the simulated probability that a claim gets the label ``holds`` at any look.

    Args:
        effect: True effect, on the scale of the differences.
        sd: Standard deviation of one difference, in the same unit.
        margin: Smallest effect that matters, in the same unit.
        looks: Numbers of pairs at the looks.
        level: Error rate of the claim over all its looks: the family's, divided by its claims.
        pool: Number of comparisons that share the baseline and pool their variances.
        parts: Number of parts with the same baseline and true effect, which must all hold.

    Examples:
        >>> chance_to_hold(2.0, 0.1, 1.0, (3, 5, 8), 0.05)
        1.0
    """
    rng = np.random.default_rng(2012)
    # Differences that share a baseline have a correlation of one half.
    shared, own_draws = rng.normal(0, sd, (2, REPEATS, looks[-1], parts))
    draws = effect + (own_draws if parts == 1 else (shared[:, :, :1] + own_draws) / np.sqrt(2))
    independent = pool / (1 + (pool - 1) / 4)  # equivalent number without a shared baseline
    held = np.zeros(REPEATS, dtype=bool)
    for n, nominal in zip(looks, nominal_levels(looks, level), strict=True):
        df = independent * (n - 1)
        own = draws[:, :n].std(1, ddof=1)
        # The rule takes the larger of the pooled and the comparison's own standard deviation.
        pooled = sd * np.sqrt(rng.chisquare(df, (REPEATS, 1)) / df) if pool > 1 else 0.0
        used = np.maximum(own, pooled)
        half_width = -special.stdtrit(df, nominal / parts / 2) * used / np.sqrt(n)
        held |= (draws[:, :n].mean(1) - half_width >= margin).all(1)
    return float(held.mean())
