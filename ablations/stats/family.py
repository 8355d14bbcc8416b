"""The claims of one study together: pooled estimates, looks and multiplicity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ablations.stats.interval import Effect, Spread, spread
from ablations.stats.multiplicity import Method, adjust
from ablations.stats.pairs import Comparison, Family, Pairs
from ablations.stats.sequential import AnytimeEffect, Spending, nominal_levels


@dataclass(frozen=True)
class Rule:
    """How a study decides; the same for all of its claims.

    Attributes:
        alpha: Error rate of the confirmatory family, and false discovery rate of the exploratory.
        stopping: ``looks`` at the numbers of pairs that each claim plans, or ``anytime``: after
            every pair, for ever, from the claim's own variance.
        spending: How alpha is spent over the looks.
    """

    alpha: float = 0.05
    stopping: Literal["looks", "anytime"] = "looks"
    spending: Spending = "obrien_fleming"


DEFAULT = Rule()


@dataclass(frozen=True)
class Estimate:
    """A claim's effect with the spread behind it, on the scale of the differences.

    Attributes:
        effect: Mean, standard error and tests.
        sd: Standard deviation used for one difference.
        df: Degrees of freedom of ``sd``.
        own_sd: Standard deviation of the claim's own differences.
        noisy: Kept out of its pool for scattering much more than the others.
    """

    effect: Effect | AnytimeEffect
    sd: float
    df: float
    own_sd: float
    noisy: bool


@dataclass(frozen=True)
class Significance:
    """One of the two tests of a claim.

    Attributes:
        p: P-value, not adjusted.
        p_adjusted: Adjusted for looks and family; at most alpha where the test rejects.
        level: Nominal level that ``p`` was held against.
    """

    p: float
    p_adjusted: float
    level: float


@dataclass(frozen=True)
class Tested:
    """Both tests of a claim, and the levels that they will have at the end of the plan.

    Attributes:
        effect: Test of no effect, two-sided.
        negligible: Two one-sided tests against the margin.
        final_effect_level: Nominal level of ``effect`` at the last look.
        final_negligible_level: Nominal level of ``negligible`` at the last look.
    """

    effect: Significance
    negligible: Significance
    final_effect_level: float
    final_negligible_level: float


@dataclass(frozen=True)
class _Plan:
    # What a family's p-values are held against. now, end: nominal level at this and at the last
    # look as a share of the error probability of the whole plan; ended: this look is the last.
    now: NDArray[np.float64]
    end: NDArray[np.float64]
    ended: NDArray[np.bool_]
    alpha: float
    method: Method

    def hold(self, p: Sequence[float]) -> list[tuple[Significance, float]]:
        # Dividing by the look's share makes p-values of different looks comparable: the smallest
        # error probability of a plan that would have stopped here.
        raw = np.asarray(p)
        stagewise = np.minimum(raw / self.now, 1.0)
        family = adjust(stagewise, self.alpha, self.method)
        alone = adjust(stagewise, self.alpha, "bonferroni")
        adjusted = np.where(self.ended, family.p, alone.p)
        level = np.where(self.ended, family.level, alone.level) * self.now
        rows = zip(raw, adjusted, level, family.level * self.end, strict=True)
        return [(Significance(float(a), float(b), float(c)), float(d)) for a, b, c, d in rows]


def _estimate(
    differences: NDArray[np.float64], found: Spread, row: int, rule: Rule
) -> Estimate | None:
    n, mean = len(differences), float(differences.mean())
    sd, df = float(found.sd[row]), float(found.df[row])
    if sd == 0:
        return None
    se = sd / n**0.5
    effect = AnytimeEffect(mean, se, n) if rule.stopping == "anytime" else Effect(mean, se, df)
    return Estimate(effect, sd, df, float(found.own_sd[row]), bool(found.noisy[row]))


def estimate_all(
    comparisons: Sequence[Comparison], pairs: Sequence[Pairs], rule: Rule
) -> list[Estimate | None]:
    """Estimate each claim's effect with the spread of its pool.

    The other claims lend a claim their first n pairs, n being its own number: a claim that has
    stopped keeps its verdict while the others go on.

    Args:
        comparisons: The claims.
        pairs: Their data, in the same order.
        rule: ``anytime`` tests are valid for a claim's own variance only: no pools then.

    Returns:
        One estimate for each claim; None where the data do not allow one.
    """
    pools: dict[object, list[int]] = {}
    for i, (comparison, data) in enumerate(zip(comparisons, pairs, strict=True)):
        if data.usable:
            alone = rule.stopping == "anytime" or not comparison.pool
            pools.setdefault(i if alone else (comparison.pool, comparison.kind), []).append(i)

    estimates: list[Estimate | None] = [None] * len(comparisons)
    for members in pools.values():
        counts = [len(pairs[i].differences) for i in members]
        table = np.full((len(members), max(counts)), np.nan)
        for row, i in zip(table, members, strict=True):
            row[: len(pairs[i].differences)] = pairs[i].differences
        # A count rounded to one step has a variance of step^2/12, and a difference has two.
        steps = [0 if comparisons[i].is_factor else comparisons[i].resolution for i in members]
        floor = np.square(steps) / 6
        for n in set(counts):
            found = spread(table[:, :n], floor)
            for row in (row for row, count in enumerate(counts) if count == n):
                estimates[members[row]] = _estimate(table[row, :n], found, row, rule)
    return estimates


def _plan(
    comparisons: Sequence[Comparison], pairs: Sequence[Pairs], rule: Rule, family: Family
) -> _Plan:
    size = len(comparisons)
    if rule.stopping == "anytime":
        method: Method = "bonferroni" if family == "confirmatory" else "fdr_bh"
        return _Plan(np.ones(size), np.ones(size), np.ones(size, dtype=bool), rule.alpha, method)
    share = rule.alpha / size
    levels = [nominal_levels(item.looks, share, rule.spending) for item in comparisons]
    looks = [max(data.look, 0) for data in pairs]
    return _Plan(
        now=np.array([each[look] / share for each, look in zip(levels, looks, strict=True)]),
        end=np.array([each[-1] / share for each in levels]),
        ended=np.array(
            [data.look == len(each) - 1 for data, each in zip(pairs, levels, strict=True)]
        ),
        alpha=rule.alpha,
        method="holm" if family == "confirmatory" else "fdr_bh",
    )


def hold_all(
    comparisons: Sequence[Comparison],
    pairs: Sequence[Pairs],
    estimates: Sequence[Estimate | None],
    rule: Rule,
) -> list[Tested]:
    """Hold both questions of each claim against the levels of its family and look.

    Args:
        comparisons: The claims.
        pairs: Their data, in the same order.
        estimates: Their effects, in the same order; None counts as a p-value of 1.
        rule: Error rate, stopping and spending.
    """
    tested: dict[int, Tested] = {}
    for family in ("confirmatory", "exploratory"):
        members = [i for i, item in enumerate(comparisons) if item.family == family]
        if not members:
            continue
        effects, inside = [], []
        for i in members:
            estimate, margin = estimates[i], comparisons[i].scaled_margin
            effects.append(estimate.effect.p_value() if estimate else 1.0)
            inside.append(estimate.effect.negligible_p_value(margin) if estimate else 1.0)
        plan = _plan([comparisons[i] for i in members], [pairs[i] for i in members], rule, family)
        for i, (effect, effect_end), (negligible, negligible_end) in zip(
            members, plan.hold(effects), plan.hold(inside), strict=True
        ):
            tested[i] = Tested(effect, negligible, effect_end, negligible_end)
    return [tested[i] for i in range(len(comparisons))]
