"""How many more seeds a claim needs, and how probably they will decide it."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

_MOST_SEEDS = 1000


@dataclass(frozen=True)
class Reach:
    """Standard errors that a decision will need.

    Attributes:
        effect: From the mean to zero, to show an effect.
        negligible: From the mean to the margin, to show that there is none that matters.
    """

    effect: float
    negligible: float


@dataclass(frozen=True)
class Outlook:
    """What more seeds would bring.

    Attributes:
        more: Further pairs.
        chance: Predictive probability that they decide.
    """

    more: int
    chance: float


@dataclass(frozen=True)
class Progress:
    """Where a claim stands.

    Attributes:
        mean: Mean difference so far.
        sd: Standard deviation of one difference, positive.
        df: Degrees of freedom of ``sd``.
        n: Pairs so far.
    """

    mean: float
    sd: float
    df: float
    n: int


def chance_to_decide(progress: Progress, more: int, margin: float, reach: Reach) -> float:
    """Predictive probability that ``more`` pairs will show an effect, or that it is negligible.

    The mean of all pairs is predicted from those at hand with a flat prior, their scale known only
    as well as the degrees of freedom allow (the predictive power of Spiegelhalter, Freedman and
    Blackburn 1986).

    Args:
        progress: The pairs at hand.
        more: Pairs to come, at least 1.
        margin: Smallest effect that matters, unit of the differences.
        reach: What will be needed with all pairs.
    """
    final = progress.n + more
    scale = progress.sd * np.sqrt(more / (progress.n * final))
    se = progress.sd / np.sqrt(final)
    # Not a frozen distribution, which takes ten times as long to make as to ask.
    predicted = progress.df, progress.mean, scale
    found = reach.effect * se
    # Where the two regions meet every outcome decides.
    inside = min(margin - reach.negligible * se, found)
    chance = stats.t.sf(found, *predicted) + stats.t.cdf(-found, *predicted)
    if inside > 0:
        chance += stats.t.cdf(inside, *predicted) - stats.t.cdf(-inside, *predicted)
    return float(chance)


def seeds_to_decide(
    progress: Progress,
    margin: float,
    reach: Callable[[int], Reach],
    chance_wanted: float = 0.8,
) -> Outlook | None:
    """Fewest further pairs that will probably decide.

    Args:
        progress: The pairs at hand.
        margin: Smallest effect that matters, unit of the differences.
        reach: What is needed with a given number of pairs.
        chance_wanted: Probability of deciding to aim at.

    Returns:
        The further pairs with their own probability; None if 1000 are not enough.
    """

    def chance(more: int) -> float:
        return chance_to_decide(progress, more, margin, reach(progress.n + more))

    further = range(1, _MOST_SEEDS + 1)
    index = bisect_left(further, chance_wanted, key=chance)
    return Outlook(further[index], chance(further[index])) if index < len(further) else None
