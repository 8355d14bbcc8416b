"""The rule that turns the paired differences of a family of claims into verdicts.

A label about an effect is read from the interval of its claim; ``no effect`` from that of two
one-sided tests. For normal differences of similar variance, the intervals of all claims of a
family, at all looks of their plans, together cover their effects with probability at least
``1 - alpha`` (Bonferroni over the claims, group-sequential levels over the looks; approximately, if
variances are pooled), so the probability that any such label is wrong is at most ``alpha``.
``python -m ablations.stats.simulate`` measures it, also for other distributions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isfinite, sqrt

import numpy as np
from scipy import special

from ablations.stats.intervals import Floats, Spread, critical, spread
from ablations.stats.looks import nominal_levels
from ablations.words import count

MOST_PAIRS = 1000  # if more are needed, no number is given
POWER = 0.8  # of detecting the smallest resolvable effect
SMALLER = "smaller than the margin"  # reason of a label


class Label(StrEnum):
    """The outcome of a claim at one scale; :func:`joint` depends on the order."""

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
        """The differences up to the latest look; all of them before the first look."""
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
        level: Two-sided error probability of the claim's intervals at this look; each of several
            parts has an equal share of it.
        sd: Standard deviation used for one difference.
        own_sd: Standard deviation of the comparison's own differences.
        df: Degrees of freedom of ``sd``.
        resolvable: Smallest effect that these pairs would detect with probability 0.8.
        more: For an undecided comparison, approximate number of further pairs that would decide it
            if its estimate stayed the same; None if it needs too many.
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


def decide(comparisons: Sequence[Comparison], claims: int) -> list[Verdict]:
    """Judge the comparisons of one family.

    Args:
        comparisons: Present comparisons, possibly fewer than the family has.
        claims: Number of claims in the family; a claim with several parts counts once.

    Returns:
        One verdict for each comparison, in the same order.
    """
    return [_judge(comparison, comparisons, claims) for comparison in comparisons]


def joint(verdicts: Sequence[Verdict]) -> Label:
    """Return the label of a claim from those of its parts.

    It is the label that comes last in :class:`Label`: ``holds`` only if every part holds, and
    ``opposite`` if any part is.
    """
    order = list(Label)
    return max((verdict.label for verdict in verdicts), key=order.index)


def _varies(comparison: Comparison) -> bool:
    used = comparison.used
    # Up to rounding, which would leave a tiny variance.
    return len(used) >= 2 and not np.allclose(used, used[0], rtol=1e-12, atol=1e-15)


def _spread(one: Comparison, comparisons: Sequence[Comparison]) -> Spread:
    """Return the spread of a comparison and of its pool; its own values are at index 0.

    A comparison with n pairs is pooled with the first n pairs of the others, so that its verdict
    does not change when other claims take further looks.
    """
    others = (c for c in comparisons if c is not one and one.pool and c.pool == one.pool)
    pool = [one, *filter(_varies, others)]
    table = np.full((len(pool), len(one.used)), np.nan)
    for row, comparison in zip(table, pool, strict=True):
        used = comparison.used[: len(row)]
        row[: len(used)] = used
    return spread(table, np.array([comparison.floor for comparison in pool]))


def _judge(comparison: Comparison, comparisons: Sequence[Comparison], claims: int) -> Verdict:
    used, look, looks = comparison.used, comparison.look, comparison.looks
    n = len(used)
    verdict = Verdict(
        claim=comparison.claim,
        part=comparison.part,
        label=Label.incomplete,
        reason=comparison.missing or _incomplete(comparison),
        n=n,
        final=look == len(looks) - 1,
        margin=comparison.margin,
        estimate=float(used.mean()) if n and look >= 0 else None,
    )
    if verdict.reason and comparison.obstacle and not n:
        return replace(verdict, label=Label.not_testable, reason=comparison.obstacle)
    if verdict.reason:
        return verdict
    assert verdict.estimate is not None, "complete comparisons have one"
    estimate, margin = verdict.estimate, comparison.margin
    found = _spread(comparison, comparisons)
    sd, df, own_sd = (float(values[0]) for values in (found.sd, found.df, found.own_sd))
    levels = nominal_levels(looks, comparison.alpha / claims)
    # The parts of a claim have separate labels, and share its level.
    parts = sum(other.claim == comparison.claim for other in comparisons)
    se = sd / sqrt(n)
    # Half-widths of both intervals.
    outer, inner = (critical(p, df) * se for p in (levels[look] / parts, 2 * levels[look] / parts))
    low, inner_low = (
        estimate - reach if comparison.low_holds else -inf for reach in (outer, inner)
    )
    high, inner_high = (
        estimate + reach if comparison.high_holds else inf for reach in (outer, inner)
    )
    label, reason = classify(low, high, inner_low, inner_high, margin)
    more = None
    if comparison.obstacle:
        label, reason = Label.not_testable, comparison.obstacle
    elif label is Label.undecided:
        more = _more_pairs(estimate, sd, df / (n - 1), n, margin, levels[-1], parts)
    noise = "much noisier than the other comparisons of its pool; its own variance is used"
    return replace(
        verdict,
        label=label,
        reason=reason,
        low=finite(low),
        high=finite(high),
        inner_low=finite(inner_low),
        inner_high=finite(inner_high),
        level=levels[look],
        sd=sd,
        own_sd=own_sd,
        df=df,
        resolvable=outer + float(special.stdtrit(df, POWER)) * se,
        more=more,
        warnings=(noise,) * bool(found.noisy[0]),
    )


def finite(number: float) -> float | None:
    """Return a number, or None if it is not finite, as JSON requires."""
    return number if isfinite(number) else None


def _incomplete(comparison: Comparison) -> str:
    n = len(comparison.used)
    if comparison.look < 0:
        return f"{count(n, 'pair')} so far, the first look is at {comparison.looks[0]}"
    if n == 1:
        return "a single pair has no standard deviation"
    return "" if _varies(comparison) else f"all {n} differences are equal, so there is no variance"


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
        The label, and its reason: ``smaller than the margin`` or empty.

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
