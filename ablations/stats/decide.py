"""From everything measured for a family of claims to its verdicts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ablations.stats import noise, secondary
from ablations.stats.family import DEFAULT, Estimate, Rule, Tested, estimate_all, hold_all
from ablations.stats.interval import Effect, Interval
from ablations.stats.pairs import Comparison, Pairs, pair
from ablations.stats.power import Outlook, Progress, Reach, seeds_to_decide
from ablations.stats.sequential import AnytimeEffect
from ablations.stats.verdict import ArmSummary, Label, Scope, Verdict, classify, describe


def decide(comparisons: Sequence[Comparison], rule: Rule = DEFAULT) -> list[Verdict]:
    """Decide the claims of one study.

    1. Pair the arms by seed, up to each claim's latest look.
    2. Give each claim the standard deviation of its pool (:func:`interval.spread`).
    3. Test whether there is an effect, and whether it is within the margin. Each question is one
       family: alpha/K at interim looks, so that no claim's stop hangs on another's success, and
       group-sequential Holm at the last (Ye et al. 2013; Maurer and Bretz 2013). Exploratory claims
       get Benjamini-Hochberg at the last.
    4. Label each claim by the intervals that belong to these tests (:func:`verdict.classify`).

    An interval at a Holm level leaves out zero exactly where Holm rejects; several of them hold
    together only about as often as their level says.

    Args:
        comparisons: All claims of the study, those without runs included: they count in K.
        rule: How to decide.

    Returns:
        One verdict for each comparison, in the same order.
    """
    pairs = [pair(item, stop_at_looks=rule.stopping == "looks") for item in comparisons]
    estimates = estimate_all(comparisons, pairs, rule)
    tests = hold_all(comparisons, pairs, estimates, rule)
    return [
        _verdict(*parts, rule) for parts in zip(comparisons, pairs, estimates, tests, strict=True)
    ]


def _outlook(data: Pairs, estimate: Estimate, tested: Tested, margin: float) -> Outlook | None:
    n = len(data.differences)

    def reach(total: int) -> Reach:
        if isinstance(estimate.effect, AnytimeEffect):
            effect = replace(estimate.effect, n=total)
        else:
            effect = replace(estimate.effect, df=estimate.df / (n - 1) * (total - 1))
        return Reach(
            effect.critical(tested.final_effect_level),
            effect.negligible_critical(tested.final_negligible_level),
        )

    progress = Progress(estimate.effect.mean, estimate.sd, estimate.df, n)
    return seeds_to_decide(progress, margin, reach)


def _obstacle(comparison: Comparison, data: Pairs, estimate: Estimate | None, rule: Rule) -> str:
    # Why nothing can be decided, whatever the differences; empty if something can.
    if data.n == 0:
        return "no pairs yet"
    if not data.measurable:
        return "a diverged run has no measure"
    if 2 * data.silent > data.n:
        return f"target not reached by either arm in {data.silent} of {data.n} pairs"
    if len(data.differences) < 2:
        return "one usable pair tells nothing of the spread between seeds"
    if estimate is None:
        return f"all {len(data.differences)} differences are equal: nothing is known of the spread"
    if data.look < 0 and rule.stopping == "looks":
        return f"{data.n} pairs so far, the first look is at {comparison.looks[0]}"
    return ""


def _bounded(interval: Interval, data: Pairs) -> Interval:
    low = interval.low if data.low_holds else -np.inf
    high = interval.high if data.high_holds else np.inf
    return Interval(low, high, interval.level)


def _label(
    effect: Effect | AnytimeEffect, comparison: Comparison, data: Pairs, tested: Tested
) -> Scope:
    interval = _bounded(effect.interval(tested.effect.level), data)
    negligible = _bounded(effect.negligible_interval(tested.negligible.level), data)
    paper = None if comparison.paper is None else comparison.to_scale(comparison.paper)
    label, sub_labels = classify(interval, negligible, comparison.scaled_margin, paper)
    return Scope(
        _unscaled(interval, comparison), _unscaled(negligible, comparison), label, sub_labels
    )


def _unscaled(interval: Interval, comparison: Comparison) -> Interval:
    low, high = comparison.from_scale(interval.low), comparison.from_scale(interval.high)
    return Interval(low, high, interval.level)


def _warnings(data: Pairs, estimate: Estimate | None) -> tuple[str, ...]:
    warnings = list(data.warnings)
    if estimate and estimate.noisy:
        warnings.append("scatters much more than the claims of its pool: tested by itself")
    if estimate and estimate.own_sd == 0:
        warnings.append("all differences are equal: do the runs differ?")
    if data.silent:
        warnings.append(f"neither arm reached the target in {data.silent} of {data.n} pairs")
    return tuple(warnings)


def _verdict(
    comparison: Comparison, data: Pairs, estimate: Estimate | None, tested: Tested, rule: Rule
) -> Verdict:
    obstacle = _obstacle(comparison, data, estimate, rule)
    margin = comparison.scaled_margin
    here = new_images = outlook = None
    if estimate:
        here = _label(estimate.effect, comparison, data, tested)
        if comparison.image_variance is not None and isinstance(estimate.effect, Effect):
            wider = noise.on_new_images(estimate.effect, comparison.image_variance)
            new_images = _label(wider, comparison, data, tested)
        if obstacle:
            undecided = {"label": Label.inconclusive, "sub_labels": ()}
            here = replace(here, **undecided)
            new_images = new_images and replace(new_images, **undecided)
        if here.label is Label.inconclusive and data.low_holds and data.high_holds:
            outlook = _outlook(data, estimate, tested, margin)

    mean = float(data.differences.mean()) if len(data.differences) else None
    effect = None if mean is None else comparison.from_scale(mean)
    student = secondary.paired_t(data.differences, rule.alpha)
    if student:
        student = replace(student, interval=_unscaled(student.interval, comparison))
    bound = _BOUNDS[data.low_holds, data.high_holds]
    ranks = secondary.sign_test(data.differences) if any(data.diverged) else None
    return Verdict(
        claim=comparison.claim,
        family=comparison.family,
        label=here.label if here else Label.inconclusive,
        sub_labels=here.sub_labels if here else (),
        sentence=_sentence(comparison, obstacle, effect, bound, here, ranks, outlook, rule),
        n=data.n,
        final=rule.stopping == "looks" and data.look == len(comparison.looks) - 1,
        estimate=effect,
        bound=bound,
        interval=here and here.interval,
        negligible_interval=here and here.negligible_interval,
        margin=comparison.from_scale(margin),
        paper=comparison.paper,
        effect_test=tested.effect,
        negligible_test=tested.negligible,
        sd=estimate and estimate.sd,
        own_sd=estimate and estimate.own_sd,
        df=estimate and estimate.df,
        without=ArmSummary.of(data.without),
        with_technique=ArmSummary.of(data.with_technique),
        seed_correlation=secondary.seed_correlation(data.without, data.with_technique),
        paired_t=student,
        sign_flip_p=secondary.sign_flip_p(data.differences),
        sign_test=ranks,
        diverged=data.diverged,
        outlook=outlook,
        new_images=new_images,
        warnings=_warnings(data, estimate),
    )


# By whether the lower and the upper end of the interval hold.
_BOUNDS = {
    (True, True): "",
    (True, False): "at least",
    (False, True): "at most",
    (False, False): "restricted",
}


def _sentence(
    comparison: Comparison,
    obstacle: str,
    effect: float | None,
    bound: str,
    here: Scope | None,
    ranks: secondary.SignTest | None,
    outlook: Outlook | None,
    rule: Rule,
) -> str:
    if here is None or effect is None:
        return f"{Label.inconclusive}: {obstacle}"
    parts = [f"{here.label}: {describe(comparison, effect, here.interval, bound, rule.alpha)}"]
    if obstacle:
        parts.append(obstacle)
    if ranks:
        total = ranks.positive + ranks.negative
        parts.append(f"by ranks {ranks.positive} of {total} pairs agree (p = {ranks.p:.3f})")
    if outlook:
        seeds = "seed" if outlook.more == 1 else "seeds"
        parts.append(
            f"about {outlook.more} more {seeds} would decide with probability {outlook.chance:.2f}"
        )
    return "; ".join(parts)
