"""What was measured of a claim, and the differences that its verdict rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["difference", "ratio", "gap", "time_to_target"]
Direction = Literal["lower", "higher"]
Family = Literal["confirmatory", "exploratory"]


@dataclass(frozen=True)
class Comparison:
    """One claim, as its file states it and as it was measured.

    Effects are positive in the paper's direction. Those of kind ``ratio`` and ``time_to_target``
    are analysed as logarithms and given as factors (6 for "six times"), the others in the unit of
    the measure (0.014 for 1.4 points).

    Attributes:
        claim: Name of the claim.
        without: Measure by seed without the technique; NaN for a diverged run, infinite for a
            target not reached.
        with_technique: Measure by seed with it. Pairs are the seeds that both have.
        kind: What the two arms are compared by. A ``gap`` is a difference of gaps, test minus
            train, that the caller has taken in each run.
        direction: Whether the paper says that the technique lowers or raises the measure.
        paper: Effect that the paper gives; None if it gives no figure.
        margin: Smallest effect that matters; by default half of the paper's (its square root for
            factors), and never below ``resolution``.
        looks: Numbers of pairs at which a verdict may be reached, the last being the plan's end.
        family: Claims that are adjusted together; exploratory ones are marked as such.
        pool: Name shared by the claims whose differences scatter alike: same baseline arm, same
            measure, same experiment. Empty for a claim by itself, such as ten views against one.
        resolution: Step in which the measure is counted: 1/N for N test images.
        diverged_as: Measure of a diverged run: 1 - 1/C for the error on C classes. Without it a
            claim with a diverged run stays inconclusive. A target counts as not reached.
        budget: Time after which training stopped short of a target, unit of the times.
        image_variance: From ``noise.image_variance``; adds the verdict on new images.
        unit: Unit in sentences; ``points`` are hundredths.
    """

    claim: str
    without: Mapping[int, float]
    with_technique: Mapping[int, float]
    kind: Kind = "difference"
    direction: Direction = "lower"
    paper: float | None = None
    margin: float | None = None
    looks: tuple[int, ...] = (3, 5, 8)
    family: Family = "confirmatory"
    pool: str = ""
    resolution: float = 0.0
    diverged_as: float | None = None
    budget: float | None = None
    image_variance: float | None = None
    unit: str = "points"

    def __post_init__(self) -> None:
        null = 1 if self.is_factor else 0
        if self.paper is None and self.margin is None:
            raise ValueError(f"{self.claim}: without a figure of the paper a margin must be given")
        for name, effect in (("paper", self.paper), ("margin", self.margin)):
            if effect is not None and not effect > null:
                raise ValueError(f"{self.claim}: {name} must be above {null}, got {effect}")
        if self.image_variance is not None and self.kind != "difference":
            raise ValueError(f"{self.claim}: image_variance needs kind: difference")
        if self.kind == "time_to_target" and not (self.budget and self.budget > 0):
            raise ValueError(f"{self.claim}: time_to_target needs the budget of its runs")

    @property
    def is_factor(self) -> bool:
        """Whether effects are factors, analysed as logarithms."""
        return self.kind in ("ratio", "time_to_target")

    def to_scale(self, effect: float) -> float:
        """From the unit of ``paper`` and ``margin`` to the scale of the differences."""
        return float(np.log(effect)) if self.is_factor else effect

    def from_scale(self, effect: float) -> float:
        """From the scale of the differences back; infinity stays infinite."""
        if not self.is_factor:
            return effect
        with np.errstate(over="ignore"):
            return float(np.exp(effect))

    @property
    def scaled_margin(self) -> float:
        """Margin on the scale of the differences."""
        if self.margin is not None:
            margin = self.to_scale(self.margin)
        else:
            assert self.paper is not None, "checked when the comparison was made"
            margin = self.to_scale(self.paper) / 2
        return margin if self.is_factor else max(margin, self.resolution)


@dataclass(frozen=True)
class Pairs:
    """The paired differences of a claim, up to its latest look.

    Attributes:
        n: Pairs, the silent ones included.
        look: Index of the latest look; -1 before the first.
        differences: On the scale of the analysis, positive in the paper's direction, shape (m,);
            pairs that say nothing are left out.
        without: Measure without the technique, same scale, shape (m,).
        with_technique: Measure with it, shape (m,).
        silent: Pairs in which neither arm reached the target.
        low_holds: The differences do not overstate the effect: no time was cut short on the side
            that would make it smaller.
        high_holds: They do not understate it.
        diverged: Diverged runs among the pairs, without and with the technique.
        measurable: No diverged run is left without a measure.
        warnings: What a reader should know about these data.
    """

    n: int
    look: int
    differences: NDArray[np.float64]
    without: NDArray[np.float64]
    with_technique: NDArray[np.float64]
    silent: int
    low_holds: bool
    high_holds: bool
    diverged: tuple[int, int]
    measurable: bool
    warnings: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether the differences allow an estimate with an error."""
        return self.measurable and len(self.differences) >= 2 and 2 * self.silent <= self.n


def _holes(comparison: Comparison) -> list[str]:
    # A seed that is missing below an arm's last one was not merely left for later.
    arms = {"without": set(comparison.without), "with": set(comparison.with_technique)}
    union = arms["without"] | arms["with"]
    return [
        f"seed {seed} is missing {arm} the technique"
        for arm, seeds in arms.items()
        for seed in sorted(union - seeds)
        if seeds and seed < max(seeds)
    ]


def pair(comparison: Comparison, *, stop_at_looks: bool = True) -> Pairs:
    """Pair the arms by seed, in ascending order, up to the latest look.

    Pairs beyond a look wait for the next one, so that a verdict is the same whether or not further
    runs have come in. Seeds that only one arm has (a baseline may have more) are not used.

    A time that was cut short by the budget counts as the budget: the mean is that of the restricted
    log-ratio, and a bound on one side (see ``Pairs.low_holds``). Where neither arm arrived the pair
    says nothing.

    Args:
        comparison: What was measured.
        stop_at_looks: False to use every pair.

    Raises:
        ValueError: A ratio or a time is not positive.
    """
    seeds = sorted(set(comparison.without) & set(comparison.with_technique))
    available = len(seeds)
    look = sum(available >= pairs for pairs in comparison.looks) - 1
    warnings = _holes(comparison)
    if stop_at_looks and look >= 0 and available > comparison.looks[look]:
        seeds = seeds[: comparison.looks[look]]
        last = look + 1 == len(comparison.looks)
        fate = "lie beyond the plan" if last else f"wait for {comparison.looks[look + 1]}"
        warnings.append(f"{available - len(seeds)} of {available} pairs {fate} and are not used")

    arms = np.array(
        [[arm[seed] for seed in seeds] for arm in (comparison.without, comparison.with_technique)],
        dtype=np.float64,
    ).reshape(2, len(seeds))
    diverged = np.isnan(arms)
    lost = diverged.sum(1)
    if lost.any():
        stability = "stability differs" if lost[0] != lost[1] else "runs diverged in both arms"
        counts = f"{lost[0]} of {len(seeds)} without the technique, {lost[1]} with it"
        warnings.append(f"{stability}: {counts} diverged")

    measurable = True
    cut = np.zeros_like(diverged)
    if comparison.kind == "time_to_target":
        assert comparison.budget is not None, "checked when the comparison was made"
        cut = diverged | (arms >= comparison.budget)
        arms = np.where(cut, comparison.budget, arms)
    elif comparison.diverged_as is not None:
        arms = np.where(diverged, comparison.diverged_as, arms)
    else:
        measurable = not diverged.any()
    if comparison.is_factor:
        # Half a step stands for a count of zero, whose logarithm would be infinite.
        arms = np.maximum(arms, comparison.resolution / 2)
        if (arms <= 0).any():
            raise ValueError(f"{comparison.claim}: a factor needs positive measures")
        arms = np.log(arms)

    # The paper's direction fixes which arm is the larger one.
    larger, smaller = (0, 1) if comparison.direction == "lower" else (1, 0)
    silent = cut.all(0)
    used = ~silent & np.isfinite(arms).all(0)
    arms = arms[:, used]
    return Pairs(
        n=len(seeds),
        look=look,
        differences=arms[larger] - arms[smaller],
        without=arms[0],
        with_technique=arms[1],
        silent=int(silent.sum()),
        low_holds=not (cut[smaller] & ~silent).any(),
        high_holds=not (cut[larger] & ~silent).any(),
        diverged=(int(lost[0]), int(lost[1])),
        measurable=measurable,
        warnings=tuple(warnings),
    )
