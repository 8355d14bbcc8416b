"""The rule that turns the paired differences of a family of claims into verdicts.

A label about an effect is read from the interval of its claim; ``no effect`` from that of two
one-sided tests. For normal differences of similar variance, the intervals of all claims of a
family, at all looks of their plans, together cover their effects with probability at least
``1 - alpha`` (Bonferroni over the claims, group-sequential levels over the looks; approximately, if
variances are pooled), so the probability that any such label is wrong is at most ``alpha``.
``python -m ablations.stats.simulate`` measures it, also for other distributions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf, sqrt

import numpy as np
from scipy import special

from ablations.stats.intervals import Floats, critical, spread
from ablations.stats.looks import nominal_levels
from ablations.words import count

MOST_PAIRS = 1000  # if more are needed, no number is given
POWER = 0.8  # of detecting the smallest resolvable effect


class Label(StrEnum):
    """The outcome of a claim at one scale, from the strongest to the weakest."""

    holds = "holds here"
    direction = "direction holds here"
    undecided = "undecided"
    no_effect = "no effect here"
    not_testable = "not testable here"
    incomplete = "incomplete"
    opposite = "opposite here"

    def word(self, at_paper: bool) -> str:
        """Return the label for readers.

        Args:
            at_paper: Whether data and network are the paper's own; only then is a claim reproduced
                or contradicted.
        """
        return _AT_PAPER.get(self, self.value) if at_paper else self.value


_AT_PAPER = {
    Label.holds: "reproduced",
    Label.direction: "right direction",
    Label.no_effect: "negligible",
    Label.opposite: "contradicted",
    Label.not_testable: "not testable",
}


@dataclass(frozen=True)
class Comparison:
    """The paired differences of two arms, and how to judge them.

    Attributes:
        claim: Name of the claim. Comparisons of one claim are its parts: it holds if all do.
        differences: Difference by seed of the pair, in the order of the pairs; positive in the
            paper's direction, on the scale of the analysis (log ratios or plain differences).
        margin: Smallest effect that matters, on that scale, above 0.
        looks: Numbers of pairs at which a verdict may be reached; the last ends the plan.
        part: Name of the part.
        silent: Number of pairs in which neither arm reached the target; they count for looks.
        pool: Same for comparisons that share the baseline arm and the measure; empty for a
            comparison that uses only its own variance.
        floor: Smallest variance of one difference, from the resolution of the measure.
        alpha: Error rate of the family, halved for each earlier study of the claim on these data.
        low_holds: Whether the lower end of the interval is valid: no time is censored on that side.
        high_holds: Whether the upper end is valid.
        missing: Why the comparison is incomplete; empty if it is complete.
        obstacle: Failed checks of the gate with their numbers; empty if the gate passed.
    """

    claim: str
    differences: Mapping[int, float]
    margin: float
    looks: tuple[int, ...] = (3, 5, 8)
    part: str = ""
    silent: int = 0
    pool: str = ""
    floor: float = 0.0
    alpha: float = 0.05
    low_holds: bool = True
    high_holds: bool = True
    missing: str = ""
    obstacle: str = ""

    @property
    def look(self) -> int:
        """Index of the latest look that the present pairs allow; -1 before the first."""
        here = len(self.differences) + self.silent
        return sum(here >= pairs for pairs in self.looks) - 1

    @property
    def used(self) -> Floats:
        """The differences up to the latest look."""
        values = list(self.differences.values())
        end = self.looks[self.look] - self.silent if self.look >= 0 else len(values)
        return np.array(values[:end])


@dataclass(frozen=True)
class Verdict:
    """The label of one comparison, its interval and its reasons.

    Numbers are on the scale of the differences.

    Attributes:
        claim: Name of the claim.
        part: Name of the part.
        label: See :class:`Label`.
        reason: Why it is incomplete or not testable, or ``smaller than the margin``.
        n: Number of pairs used.
        final: Whether this was the last look of the plan.
        margin: Smallest effect that matters.
        estimate: Mean difference; None without pairs.
        low: Lower end of the adjusted interval; None if it is not valid.
        high: Upper end; None if it is not valid.
        inner_low: Lower end of the interval of the two one-sided tests; None if it is not valid.
        inner_high: Upper end; None if it is not valid.
        level: Two-sided error probability of the interval.
        sd: Standard deviation used for one difference.
        own_sd: Standard deviation of the comparison's own differences.
        df: Degrees of freedom of ``sd``.
        resolvable: Smallest effect that these pairs would detect with probability 0.8.
        more: Approximate number of further pairs that would decide an undecided claim if its
            estimate stayed the same; None if it is decided or needs too many.
        warnings: Warnings for readers.
    """

    claim: str
    part: str
    label: Label
    reason: str
    n: int
    final: bool
    margin: float
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    inner_low: float | None = None
    inner_high: float | None = None
    level: float | None = None
    sd: float | None = None
    own_sd: float | None = None
    df: float | None = None
    resolvable: float | None = None
    more: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def decided(self) -> bool:
        """Whether the comparison needs no further pairs."""
        settled = self.label in (Label.holds, Label.no_effect, Label.opposite, Label.not_testable)
        return settled or self.reason == SMALLER


SMALLER = "smaller than the margin"


def decide(comparisons: Sequence[Comparison], claims: int) -> list[Verdict]:
    """Judge the comparisons of one family.

    Args:
        comparisons: Present comparisons, possibly fewer than the family has.
        claims: Number of claims in the family; a claim with several parts counts once.

    Returns:
        One verdict for each comparison, in the same order.
    """
    spreads = _spreads(comparisons)
    parts = [sum(other.claim == one.claim for other in comparisons) for one in comparisons]
    return [_judge(*item, claims) for item in zip(comparisons, spreads, parts, strict=True)]


def joint(verdicts: Sequence[Verdict]) -> Label:
    """Return the label of a claim from those of its parts.

    It holds only if every part holds, is opposite if any part is, and otherwise has the label of
    the weakest part.
    """
    order = list(Label)
    return max((verdict.label for verdict in verdicts), key=order.index)


def _spreads(comparisons: Sequence[Comparison]) -> list[tuple[float, float, float, bool] | None]:
    """Return standard deviation, degrees of freedom, own deviation and noisiness of comparisons.

    A comparison with n pairs is pooled with the first n pairs of the others, so that its verdict
    does not change when other claims take further looks.
    """
    pools: dict[object, list[int]] = {}
    for i, comparison in enumerate(comparisons):
        if len(comparison.used) >= 2 and not _all_equal(comparison.used):
            pools.setdefault(comparison.pool or i, []).append(i)
    found: list[tuple[float, float, float, bool] | None] = [None] * len(comparisons)
    for members in pools.values():
        counts = [len(comparisons[i].used) for i in members]
        table = np.full((len(members), max(counts)), np.nan)
        for row, i in zip(table, members, strict=True):
            row[: len(comparisons[i].used)] = comparisons[i].used
        floor = np.array([comparisons[i].floor for i in members])
        for n in set(counts):
            of_pool = spread(table[:, :n], floor)
            for row in (row for row, size in enumerate(counts) if size == n):
                found[members[row]] = (
                    float(of_pool.sd[row]),
                    float(of_pool.df[row]),
                    float(of_pool.own_sd[row]),
                    bool(of_pool.noisy[row]),
                )
    return found


def _all_equal(values: Floats) -> bool:
    # Up to rounding, which would leave a tiny variance.
    return bool(np.allclose(values, values[0], rtol=1e-12, atol=1e-15))


def _judge(
    comparison: Comparison,
    found: tuple[float, float, float, bool] | None,
    parts: int,
    claims: int,
) -> Verdict:
    used, look, looks = comparison.used, comparison.look, comparison.looks
    n, final = len(used), look == len(looks) - 1
    common = {
        "claim": comparison.claim,
        "part": comparison.part,
        "n": n,
        "final": final,
        "margin": comparison.margin,
    }
    estimate = float(used.mean()) if n and look >= 0 else None
    if missing := comparison.missing or _incomplete(comparison):
        label = Label.not_testable if comparison.obstacle and not n else Label.incomplete
        reason = comparison.obstacle if label is Label.not_testable else missing
        return Verdict(**common, label=label, reason=reason, estimate=estimate)
    assert found is not None, "at least two unequal differences have a spread"
    assert estimate is not None
    sd, df, own_sd, noisy = found
    share = comparison.alpha / claims
    level = nominal_levels(looks, share)[look]
    se = sd / sqrt(n)
    # Half-widths of both intervals. The parts of a claim have separate labels, and share its level.
    outer, inner = (critical(p, df) * se for p in (level / parts, 2 * level / parts))
    low = estimate - outer if comparison.low_holds else -inf
    high = estimate + outer if comparison.high_holds else inf
    inner_low = estimate - inner if comparison.low_holds else -inf
    inner_high = estimate + inner if comparison.high_holds else inf
    label, reason = classify(low, high, inner_low, inner_high, comparison.margin)
    more = None
    if comparison.obstacle:
        label, reason = Label.not_testable, comparison.obstacle
    elif label is Label.undecided or (label is Label.direction and not reason):
        at_end = nominal_levels(looks, share)[-1]
        more = _more_pairs(estimate, sd, df / (n - 1), n, comparison.margin, at_end, parts)
    return Verdict(
        **common,
        label=label,
        reason=reason,
        estimate=estimate,
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
        inner_low=inner_low if np.isfinite(inner_low) else None,
        inner_high=inner_high if np.isfinite(inner_high) else None,
        level=level,
        sd=sd,
        own_sd=own_sd,
        df=df,
        resolvable=outer + float(special.stdtrit(df, POWER)) * se,
        more=more,
        warnings=("much noisier than the other comparisons of its pool; its own variance is used",)
        * noisy,
    )


def _incomplete(comparison: Comparison) -> str:
    n = len(comparison.used)
    if n == 0:
        return "no pairs yet"
    if comparison.look < 0:
        return f"{count(n, 'pair')} so far, the first look is at {comparison.looks[0]}"
    if n == 1:
        return "a single pair has no standard deviation"
    if _all_equal(comparison.used):
        return f"all {n} differences are equal, so there is no variance"
    return ""


def classify(
    low: float, high: float, inner_low: float, inner_high: float, margin: float
) -> tuple[Label, str]:
    """Label a comparison whose gate passed; the first match wins.

    Args:
        low: Lower end of the adjusted interval.
        high: Upper end.
        inner_low: Lower end of the interval of the two one-sided tests.
        inner_high: Upper end.
        margin: Smallest effect that matters.

    Returns:
        The label, and whether the effect is smaller than the margin.

    Examples:
        >>> classify(0.9, 1.7, 1.0, 1.6, margin=0.7)
        (<Label.holds: 'holds here'>, '')
        >>> classify(0.1, 0.6, 0.2, 0.5, margin=0.7)
        (<Label.direction: 'direction holds here'>, 'smaller than the margin')
    """
    if low >= margin:
        return Label.holds, ""
    if low > 0:
        return Label.direction, SMALLER if high < margin else ""
    if high < 0:
        return Label.opposite, SMALLER if low > -margin else ""
    if -margin < inner_low and inner_high < margin:
        return Label.no_effect, ""
    return Label.undecided, ""


def _more_pairs(
    mean: float, sd: float, df_per_pair: float, n: int, margin: float, level: float, parts: int
) -> int | None:
    """Return how many further pairs would decide at the current estimate; None if too many."""
    total = np.arange(n + 1, MOST_PAIRS + 1)
    se, df = sd / np.sqrt(total), df_per_pair * (total - 1)
    outer, inner = (-special.stdtrit(df, p / 2) * se for p in (level / parts, 2 * level / parts))
    decided = (mean - outer >= margin) | (mean + outer < 0) | (abs(mean) + inner < margin)
    decided |= (mean - outer > 0) & (mean + outer < margin)
    return int(total[decided.argmax()] - n) if decided.any() else None
