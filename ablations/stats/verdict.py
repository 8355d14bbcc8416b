"""The table of labels, and the verdict on one claim."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from math import floor, isclose, isfinite, log10
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablations.stats.family import Significance
from ablations.stats.interval import Interval
from ablations.stats.pairs import Comparison, Family
from ablations.stats.power import Outlook
from ablations.stats.secondary import PairedT, SignTest


class Label(StrEnum):
    """What became of a claim."""

    reproduced = "reproduced"
    direction_only = "direction only"
    opposite = "contradicted (opposite)"
    negligible = "contradicted (negligible)"
    inconclusive = "inconclusive"


def classify(
    interval: Interval, negligible: Interval, margin: float, paper: float | None
) -> tuple[Label, tuple[str, ...]]:
    """Label a claim by its two intervals, all on the scale of the differences.

    Args:
        interval: Of the test that there is an effect.
        negligible: Of the two one-sided tests that there is none that matters.
        margin: Smallest effect that matters.
        paper: Effect that the paper gives, if any.

    Returns:
        The label, and how a reproduced effect compares with the margin and with the paper's.

    Examples:
        >>> classify(Interval(0.9, 1.7, 0.05), Interval(1.0, 1.6, 0.1), margin=0.7, paper=1.4)
        (<Label.reproduced: 'reproduced'>, ('strong', 'consistent with the paper'))
    """
    if interval.high < 0:
        return Label.opposite, ()
    if interval.low > 0:
        if negligible.high < margin:
            return Label.direction_only, ()
        return Label.reproduced, _sub_labels(interval, margin, paper)
    if -margin < negligible.low and negligible.high < margin:
        return Label.negligible, ()
    return Label.inconclusive, ()


def _sub_labels(interval: Interval, margin: float, paper: float | None) -> tuple[str, ...]:
    labels = ("strong",) if interval.low >= margin else ()
    if paper is None:
        return labels
    if interval.high < paper:
        return (*labels, "weaker than the paper")
    if interval.low > paper:
        return (*labels, "stronger than the paper")
    return (*labels, "consistent with the paper")


@dataclass(frozen=True)
class ArmSummary:
    """One arm over the seeds of the pairs; for factors on the scale of logarithms.

    Attributes:
        mean: Mean of the measure; NaN without pairs.
        sd: Standard deviation; NaN under two pairs.
    """

    mean: float
    sd: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "ArmSummary":
        """Summarise the measures of one arm, shape (n,)."""
        mean = float(values.mean()) if len(values) else float("nan")
        return cls(mean, float(values.std(ddof=1)) if len(values) > 1 else float("nan"))


@dataclass(frozen=True)
class Scope:
    """What a claim comes to on one reading: on this test set, or on new images.

    Attributes:
        interval: Adjusted interval of the effect.
        negligible_interval: Interval to be held against the margin.
        label: See :func:`classify`.
        sub_labels: See :func:`classify`.
    """

    interval: Interval
    negligible_interval: Interval
    label: Label
    sub_labels: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What was decided about a claim, and on what grounds.

    Estimate, intervals, margin and the paper's figure are in the unit of the comparison: factors
    for ratios and times (1 is no effect), otherwise differences (0 is). Standard deviations are on
    the scale of the differences, logarithms for factors.

    Attributes:
        claim: Name of the claim.
        family: Claims that it was adjusted with.
        label: The verdict on this test set.
        sub_labels: See :func:`classify`.
        sentence: The verdict for a reader.
        n: Pairs of seeds that were used.
        final: Whether this was the last look.
        estimate: Mean effect; None without a usable pair.
        bound: ``at least`` or ``at most`` where times were cut short on one side, ``restricted``
            where on both; otherwise empty.
        interval: Adjusted interval of the effect; an end that times cut short is infinite.
        negligible_interval: Interval to be held against the margin.
        margin: Smallest effect that matters.
        paper: Effect that the paper gives.
        effect_test: Test of no effect, two-sided; takes times that were cut short as they are.
        negligible_test: Two one-sided tests against the margin; likewise.
        sd: Standard deviation used for one difference.
        own_sd: That of the claim's own differences.
        df: Degrees of freedom of ``sd``.
        without: The arm without the technique.
        with_technique: The arm with it.
        seed_correlation: Correlation of the arms over seeds.
        paired_t: Paired t-test of the claim by itself, unadjusted.
        sign_flip_p: From 6 pairs on.
        sign_test: Second verdict, from ranks, where runs diverged.
        diverged: Diverged runs, without and with the technique.
        outlook: Seeds that an undecided claim needs; None if decided or out of reach.
        new_images: The verdict in the wider scope, if it was measured.
        warnings: What a reader should know.
    """

    claim: str
    family: Family
    label: Label
    sub_labels: tuple[str, ...]
    sentence: str
    n: int
    final: bool
    estimate: float | None
    bound: str
    interval: Interval | None
    negligible_interval: Interval | None
    margin: float
    paper: float | None
    effect_test: Significance
    negligible_test: Significance
    sd: float | None
    own_sd: float | None
    df: float | None
    without: ArmSummary
    with_technique: ArmSummary
    seed_correlation: float | None
    paired_t: PairedT | None
    sign_flip_p: float | None
    sign_test: SignTest | None
    diverged: tuple[int, int]
    outlook: Outlook | None
    new_images: Scope | None
    warnings: tuple[str, ...]

    @property
    def decided(self) -> bool:
        """Whether the claim's arm may stop."""
        return self.label is not Label.inconclusive

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON: numbers that are not finite become None."""
        return _finite(asdict(self) | {"decided": self.decided})


def _finite(value: Any) -> Any:
    match value:
        case dict():
            return {key: _finite(part) for key, part in value.items()}
        case list() | tuple():
            return [_finite(part) for part in value]
        case Label():
            return str(value)
        case float():
            return value if isfinite(value) else None
    return value


def describe(
    comparison: Comparison, estimate: float, interval: Interval, bound: str, alpha: float
) -> str:
    """Effect and interval in words: ``1.3 points (95 % interval 0.9 to 1.7); the paper: 1.4``.

    Args:
        comparison: The claim, for unit and paper's figure.
        estimate: Effect in the unit of the comparison.
        interval: Its interval, same unit.
        bound: See ``Verdict.bound``.
        alpha: Error rate of the family: an interval at another level is called adjusted.
    """
    factor = 100 if comparison.unit == "points" and not comparison.is_factor else 1
    unit = "times" if comparison.is_factor else comparison.unit
    reaches = [abs(end - estimate) for end in (interval.low, interval.high) if isfinite(end)]
    width = factor * max(reaches, default=1.0)
    digits = min(6, max(1, -floor(log10(width)))) if width > 0 else 1

    def number(value: float) -> str:
        return f"{factor * value:.{digits}f}"

    adjusted = "" if isclose(interval.level, alpha) else "adjusted "
    level, mean = f"{adjusted}{100 * (1 - alpha):g} %", f"restricted mean {number(estimate)}"
    match bound:
        case "at least":
            text = f"at least {number(interval.low)} {unit} ({level} bound; {mean})"
        case "at most":
            text = f"at most {number(interval.high)} {unit} ({level} bound; {mean})"
        case "restricted":
            text = f"{number(estimate)} {unit} (restricted mean, no interval)"
        case _ if not isfinite(interval.high):
            text = f"{number(estimate)} {unit} (too few pairs for an interval)"
        case _:
            ends = f"{number(interval.low)} to {number(interval.high)}"
            text = f"{number(estimate)} {unit} ({level} interval {ends})"
    return text if comparison.paper is None else f"{text}; the paper: {factor * comparison.paper:g}"
