"""Error rates, coverage and power of this package's rules, beside the planned figures.

``python -m ablations.stats.simulate`` prints them as Markdown in a few minutes. The planned
figures come from an earlier, separate simulation in which no claim ever left its pool.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ablations.stats.decide import decide
from ablations.stats.interval import effect_p, negligible_p, spread
from ablations.stats.pairs import Comparison
from ablations.stats.sequential import Spending, e_value, nominal_levels
from ablations.stats.verdict import Label

ALPHA = 0.05
CLAIMS = 11
SEEDS = (3, 5, 8)
REPEATS = 50_000
STUDIES = 1_000  # that `decide` reads one by one

Array = NDArray[np.float64]


def _unequal(rng: Generator, shape: tuple[int, int, int]) -> Array:
    # Standard deviations from 1/2 to 2, dealt anew to the arms in each repeat.
    sds = np.broadcast_to(np.geomspace(0.5, 2.0, shape[1]), shape[:2])
    return rng.permuted(sds, axis=1)[..., None] * rng.standard_normal(shape)


def _with_noisy_arm(arm: int, factor: float) -> Callable[[Generator, tuple[int, int, int]], Array]:
    def draw(rng: Generator, shape: tuple[int, int, int]) -> Array:
        runs = rng.standard_normal(shape)
        runs[:, arm] *= factor
        return runs

    return draw


# Runs of all arms, the baseline first: shape (repeats, arms, seeds), standard deviation about 1.
SCENARIOS: dict[str, Callable[[Generator, tuple[int, int, int]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t with 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape) / 3**0.5,
    "skewed (exponential)": lambda rng, shape: rng.exponential(size=shape),
    "baseline 3 times noisier": _with_noisy_arm(0, 3.0),
    "one arm 4 times noisier": _with_noisy_arm(1, 4.0),
    "unequal": _unequal,
}


def differences(
    rng: Generator, scenario: str, n: int, *, claims: int = CLAIMS, correlation: float = 0.0
) -> Array:
    """Paired differences without any effect, shape (REPEATS, claims, n).

    Args:
        rng: Source of randomness.
        scenario: Key of ``SCENARIOS``.
        n: Seeds.
        claims: Claims that share the baseline.
        correlation: Between runs of one seed, 0 to 1.
    """
    runs = SCENARIOS[scenario](rng, (REPEATS, claims + 1, n))
    common = rng.standard_normal((REPEATS, 1, n))
    runs = np.sqrt(1 - correlation) * runs + np.sqrt(correlation) * common
    return runs[:, 1:] - runs[:, :1]


def _p_values(pairs: Array, effect: Array | float = 0.0) -> Array:
    found = spread(pairs)
    return effect_p(pairs.mean(-1) + effect, found.sd / pairs.shape[-1] ** 0.5, found.df)


def family_wise_error(rng: Generator, scenario: str, n: int) -> float:
    """Probability that Holm rejects any of ``CLAIMS`` true null hypotheses."""
    p = _p_values(differences(rng, scenario, n))
    return float((p.min(-1) <= ALPHA / CLAIMS).mean())


def coverage(rng: Generator, scenario: str, n: int) -> tuple[float, float]:
    """Coverage of the unadjusted 95 % interval: mean over claims, and that of the worst."""
    covered = (_p_values(differences(rng, scenario, n)) > ALPHA).mean(0)
    return float(covered.mean()), float(covered.min())


def power(rng: Generator, effect: float, n: int, correlation: float) -> float:
    """Share of six true effects among ``CLAIMS`` claims that Holm finds.

    Args:
        rng: Source of randomness.
        effect: In standard deviations of a run.
        n: Seeds.
        correlation: Between runs of one seed.
    """
    true = np.arange(CLAIMS) < 6
    pairs = differences(rng, "normal", n, correlation=correlation)
    p = _p_values(pairs, np.where(true, effect, 0.0))
    order = p.argsort(-1)
    passed = np.take_along_axis(p, order, -1) <= ALPHA / (CLAIMS - np.arange(CLAIMS))
    rejected = np.zeros_like(passed)
    np.put_along_axis(rejected, order, np.logical_and.accumulate(passed, -1), -1)
    return float(rejected[:, true].mean())


def verdict_rates(rng: Generator, ratio: float, n: int) -> tuple[float, float, float]:
    """How one claim with a margin of half the paper's effect is labelled.

    Args:
        rng: Source of randomness.
        ratio: The paper's effect in standard deviations of a paired difference.
        n: Seeds.

    Returns:
        Probability of an interval above zero if the paper is right; of "negligible" and of an
        interval above zero if there is no effect.
    """
    pairs = rng.standard_normal((REPEATS, 1, n))
    found = spread(pairs)
    mean, se, df = pairs.mean(-1), found.sd / n**0.5, found.df
    found_effect = effect_p(mean, se, df) <= ALPHA
    above = found_effect & (mean > 0)
    right = (effect_p(mean + ratio, se, df) <= ALPHA) & (mean + ratio > 0)
    negligible = ~found_effect & (negligible_p(mean, se, df, ratio / 2) <= ALPHA)
    return float(right.mean()), float(negligible.mean()), float(above.mean())


def error_over_looks(
    rng: Generator, looks: Sequence[int], levels: Sequence[float], claims: int = 1
) -> float:
    """Probability that any of the claims is ever rejected at one of the looks."""
    pairs = differences(rng, "normal", max(looks), claims=claims)
    hits = [
        (_p_values(pairs[..., :n]) <= level).any(-1) for n, level in zip(looks, levels, strict=True)
    ]
    return float(np.any(hits, axis=0).mean())


_EFFECTS = (Label.reproduced, Label.direction_only, Label.opposite)


def whole_studies(
    rng: Generator, studies: int, true: int = 0, effect: float = 0.0
) -> tuple[float, float, float]:
    """Studies of ``CLAIMS`` claims that share a baseline, read by ``decide`` at every look.

    A claim that is decided trains no more pairs, as in a real study.

    Args:
        rng: Source of randomness.
        studies: How many.
        true: How many of the claims are true.
        effect: Of those, in standard deviations of a run; the margin is half of it.

    Returns:
        Probability that any claim that is not true is said to have an effect; share of the true
        ones that are reproduced; mean number of pairs of a claim. NaN without such claims.
    """
    margin = effect / 2 or 1.0
    false, found, pairs = [], [], []
    for _ in range(studies):
        runs = rng.standard_normal((CLAIMS + 1, SEEDS[-1]))
        runs[1 : true + 1] -= effect  # the paper says that techniques lower the error
        n = np.zeros(CLAIMS, dtype=int)
        open_ = np.ones(CLAIMS, dtype=bool)
        verdicts = []
        for look in SEEDS:
            n[open_] = look
            verdicts = decide(
                [
                    Comparison(
                        claim=f"claim {i}",
                        without=dict(enumerate(runs[0, :count])),
                        with_technique=dict(enumerate(runs[i, :count])),
                        margin=margin,
                        looks=SEEDS,
                        pool="one baseline",
                    )
                    for i, count in enumerate(n, 1)
                ]
            )
            open_ &= [not verdict.decided for verdict in verdicts]
        false.append(any(verdict.label in _EFFECTS for verdict in verdicts[true:]))
        found += [verdict.label is Label.reproduced for verdict in verdicts[:true]]
        pairs += list(n)
    return float(np.mean(false)), float(np.mean(found or [np.nan])), float(np.mean(pairs))


def error_at_any_time(rng: Generator, looks: Sequence[int]) -> float:
    """Probability that the e-process of a claim without effect ever reaches 1/alpha."""
    pairs = differences(rng, "normal", max(looks), claims=1)[:, 0]
    hits = []
    for n in looks:
        part = pairs[:, :n]
        t = part.mean(-1) / (part.std(-1, ddof=1) / n**0.5)
        hits.append(e_value(t, n) >= 1 / ALPHA)
    return float(np.any(hits, axis=0).mean())


# Planned figures at 3, 5 and 8 seeds; None where none was given.
_Planned = Sequence[float | None]
FAMILY_WISE: dict[str, _Planned] = {
    "normal": (0.008, 0.019, 0.022),
    "t with 3 degrees of freedom": (0.003, 0.007, 0.009),
    "skewed (exponential)": (0.005, 0.007, 0.008),
    "baseline 3 times noisier": (0.038, 0.036, 0.028),
    "one arm 4 times noisier": (0.029, 0.026, 0.018),
    "unequal": (0.017, 0.026, 0.028),
}
WORST_COVERAGE: dict[str, _Planned] = {
    "baseline 3 times noisier": (0.92, None, None),
    "one arm 4 times noisier": (0.885, None, 0.92),
}
POWER: dict[tuple[float, float], _Planned] = {
    (3.0, 0.0): (0.35, 0.83, 0.99),
    (3.0, 0.5): (0.72, 0.99, None),
    (1.5, 0.5): (0.12, 0.45, 0.82),
}
VERDICTS: dict[float, tuple[_Planned, _Planned, _Planned]] = {
    2.0: ((0.47, 0.91, 1.0), (0.11, 0.28, 0.62), (0.03, 0.03, 0.03)),
    4.0: ((0.91, 1.0, 1.0), (0.51, 0.90, 0.95), (None, None, None)),
}
LEVELS: dict[tuple[tuple[int, ...], Spending], tuple[float, ...]] = {
    ((3, 5, 8), "obrien_fleming"): (0.0013, 0.0120, 0.0416),
    ((3, 5, 8), "linear"): (0.0186, 0.0157, 0.0244),
    ((3, 5, 10), "obrien_fleming"): (0.0004, 0.0051, 0.0465),
    ((5, 10), "obrien_fleming"): (0.0057, 0.0464),
    (tuple(range(3, 11)), "obrien_fleming"): (
        *(0.0003, 0.0017, 0.0043, 0.0079),
        *(0.0125, 0.0178, 0.0234, 0.0291),
    ),
}


def _row(name: str, measured: Sequence[float], planned: _Planned) -> str:
    cells = [
        f"{value:.3f} ({'–' if plan is None else f'{plan:g}'})"
        for value, plan in zip(measured, planned, strict=True)
    ]
    return f"| {name} | {' | '.join(cells)} |"


def table(rng: Generator) -> str:
    """The whole simulation as Markdown, planned figures in brackets."""
    lines = [
        f"{REPEATS} repeats, {CLAIMS} claims with one baseline, alpha {ALPHA:g}; "
        "in brackets the planned figure.",
        "",
        f"| | {' | '.join(f'n = {n}' for n in SEEDS)} |",
        "|---|" + "---|" * len(SEEDS),
        "| **family-wise error, Holm** | | | |",
    ]
    nothing = (None,) * len(SEEDS)
    for name in SCENARIOS:
        measured = [family_wise_error(rng, name, n) for n in SEEDS]
        lines.append(_row(name, measured, FAMILY_WISE[name]))
    lines.append("| **coverage of the 95 % interval** | | | |")
    for name in SCENARIOS:
        means, worst = zip(*(coverage(rng, name, n) for n in SEEDS), strict=True)
        lines.append(_row(f"{name}: mean", means, nothing))
        if name in WORST_COVERAGE:
            lines.append(_row(f"{name}: worst claim", worst, WORST_COVERAGE[name]))
    lines.append("| **power, Holm, 6 of 11 claims true** | | | |")
    for (effect, correlation), planned in POWER.items():
        measured = [power(rng, effect, n, correlation) for n in SEEDS]
        lines.append(_row(f"{effect:g} sd, seed correlation {correlation:g}", measured, planned))
    lines.append("| **one claim, margin half the paper's effect** | | | |")
    for ratio, planned_rates in VERDICTS.items():
        rates = zip(*(verdict_rates(rng, ratio, n) for n in SEEDS), strict=True)
        names = ("paper right: above 0", "no effect: negligible", "no effect: above 0")
        for name, measured, planned in zip(names, rates, planned_rates, strict=True):
            lines.append(_row(f"{ratio:g} sd, {name}", measured, planned))
    lines += ["", "| looks | spending | nominal levels | planned | error | error of p < 0.05 |"]
    lines.append("|---|---|---|---|---|---|")
    for (looks, spending), planned in LEVELS.items():
        levels = nominal_levels(looks, ALPHA, spending)
        cells = [
            ", ".join(map(str, looks)),
            spending,
            " ".join(f"{level:.4f}" for level in levels),
            " ".join(f"{level:.4f}" for level in planned),
            f"{error_over_looks(rng, looks, levels):.3f}",
            f"{error_over_looks(rng, looks, [ALPHA] * len(looks)):.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    shares = nominal_levels(SEEDS, ALPHA / CLAIMS)
    family = error_over_looks(rng, SEEDS, shares, CLAIMS)
    forever = error_at_any_time(rng, range(3, 11))
    nothing_true, _, _ = whole_studies(rng, STUDIES)
    some_true, found, pairs = whole_studies(rng, STUDIES, true=6, effect=3.0)
    lines += [
        "",
        f"- {CLAIMS} claims, looks at {SEEDS}, alpha/K each: family-wise error {family:.3f} "
        "(planned 0.022 to 0.040)",
        f"- e-process after each of 3 to 10 seeds: error {forever:.3f} (planned 0.018)",
        f"- {STUDIES} whole studies through `decide`, a claim that is decided stops: with no true "
        f"claim {nothing_true:.3f} of them find an effect anywhere; with 6 true ones of 3 sd "
        f"{some_true:.3f} find one in the other 5, {found:.3f} of the true ones are reproduced, "
        f"and a claim takes {pairs:.1f} pairs",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(table(np.random.default_rng(2012)))
