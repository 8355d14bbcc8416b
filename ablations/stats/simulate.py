"""Simulate error rates, coverage and power of the rule.

``python -m ablations.stats.simulate`` prints them as Markdown, with their targets,
the number of simulated studies and the seed. Simulated studies call
:func:`ablations.stats.labels.decide` look by look, as real studies do.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ablations.stats.labels import Comparison, Label, Verdict, decide, joint
from ablations.stats.power import chance_to_hold

SEED = 2012
STUDIES = 1_000
CLAIMS = 11
LOOKS = (3, 5, 8)

Array = NDArray[np.float64]
Draw = Callable[[Generator, tuple[int, int]], Array]


def _unequal(rng: Generator, shape: tuple[int, int]) -> Array:
    sds = rng.permutation(np.geomspace(0.5, 2.0, shape[0]))
    return sds[:, None] * rng.standard_normal(shape)


def _noisy(factor: float, *arms: int) -> Draw:
    def draw(rng: Generator, shape: tuple[int, int]) -> Array:
        runs = rng.standard_normal(shape)
        runs[list(arms)] *= factor
        return runs

    return draw


# Draw the runs of all arms, baseline first: shape (arms, seeds), SD 1 unless named otherwise.
GENERATORS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t with 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape) / 3**0.5,
    "skewed (exponential)": lambda rng, shape: rng.exponential(size=shape) - 1,
    "baseline 3 times noisier": _noisy(3.0, 0),
    "one arm 4 times noisier": _noisy(4.0, 1),
    "four arms 4 times noisier": _noisy(4.0, 1, 2, 3, 4),
    "unequal": _unequal,
}


NO_EFFECT = (0.0,) * CLAIMS


def draw(
    rng: Generator,
    effects: Sequence[float] = NO_EFFECT,
    margin: float = 2.0,
    generator: str = "normal",
    parts: int = 1,
) -> list[Comparison]:
    """Draw the pairs of a simulated study, up to the last look.

    Args:
        rng: Generator of the random numbers.
        effects: True effect of each claim, in standard deviations of a run.
        margin: Smallest effect that matters, in the same unit.
        generator: Key of ``GENERATORS``.
        parts: Comparisons of the first claim, all with its effect.
    """
    claims = [0] * (parts - 1) + list(range(len(effects)))
    runs = GENERATORS[generator](rng, (len(claims) + 1, LOOKS[-1]))
    return [
        Comparison(
            claim=f"claim {claim}",
            part=str(i) if claim == 0 and parts > 1 else "",
            differences=dict(enumerate(runs[i + 1] - runs[0] + effects[claim])),
            margin=margin,
            looks=LOOKS,
            pool="baseline",
        )
        for i, claim in enumerate(claims)
    ]


def cut(comparison: Comparison, pairs: int) -> Comparison:
    """Return the comparison with its first pairs only."""
    first = list(comparison.differences.items())[:pairs]
    return replace(comparison, differences=dict(first))


def one_command(whole: Sequence[Comparison], claims: int) -> list[list[Verdict]]:
    """Take all looks of a study as one command does: decided claims train no further pairs.

    Returns:
        The verdicts after each look.
    """
    pairs = [0] * len(whole)
    going = [True] * len(whole)
    after = []
    for look in LOOKS:
        pairs = [look if on else n for on, n in zip(going, pairs, strict=True)]
        verdicts = decide([cut(c, n) for c, n in zip(whole, pairs, strict=True)], claims)
        after.append(verdicts)
        going = [on and not v.decided for on, v in zip(going, verdicts, strict=True)]
    return after


def one_command_per_claim(whole: Sequence[Comparison], claims: int) -> list[list[Verdict]]:
    """Take the looks of each claim with a separate command, without the runs of other claims."""
    names = list(dict.fromkeys(c.claim for c in whole))
    alone = [one_command([c for c in whole if c.claim == name], claims) for name in names]
    return [[v for looks in alone for v in looks[i]] for i in range(len(LOOKS))]


def calls_at(pairs: Sequence[int], whole: Sequence[Comparison], claims: int) -> list[list[Verdict]]:
    """Call the command for each number of pairs, up to which it trains all claims."""
    return [decide([cut(c, n) for c in whole], claims) for n in pairs]


CALLS = {
    "one command": one_command,
    "one command per claim": one_command_per_claim,
    "calls at 3, 5 and 8 pairs": partial(calls_at, LOOKS),
    "--seeds 3 to 10 in turn": partial(calls_at, range(3, 11)),
}


def family_wise_error(
    rng: Generator, call: str, studies: int, effects: Sequence[float] = NO_EFFECT, **changes: Any
) -> int:
    """Count the studies in which any label at any look is wrong.

    Wrong labels: ``holds`` if the effect is below the margin; ``direction`` if it is not above 0;
    ``opposite`` if it is not below 0; ``no_effect`` if its size is at or above the margin.

    Args:
        rng: Generator of the random numbers.
        call: Key of ``CALLS``.
        studies: Number of simulated studies.
        effects: True effect of each claim.
        changes: Other arguments of :func:`draw`.
    """
    wrong = 0
    for _ in range(studies):
        whole = draw(rng, effects, **changes)
        looks, margin = CALLS[call](whole, len(effects)), whole[0].margin
        wrong += any(
            _is_wrong(joint([v for v in verdicts if v.claim == f"claim {i}"]), effect, margin)
            for verdicts in looks
            for i, effect in enumerate(effects)
        )
    return wrong


def _is_wrong(label: Label, effect: float, margin: float) -> bool:
    match label:
        case Label.holds:
            return effect < margin
        case Label.direction:
            return effect <= 0
        case Label.opposite:
            return effect >= 0
        case Label.no_effect:
            return abs(effect) >= margin
    return False


def coverage(rng: Generator, generator: str, studies: int) -> tuple[float, float, float]:
    """Return the coverage of the final intervals: mean over claims, worst claim, all at once."""
    wholes = (draw(rng, generator=generator) for _ in range(studies))
    hits = np.array([[_covers(verdict) for verdict in decide(whole, CLAIMS)] for whole in wholes])
    share = hits.mean(0)
    return float(share.mean()), float(share.min()), float(hits.all(1).mean())


def _covers(verdict: Verdict) -> bool:
    assert verdict.low is not None
    assert verdict.high is not None
    return verdict.low <= 0 <= verdict.high


def alone(rng: Generator, effect: float, sd: float, n: int, repeats: int) -> list[Verdict]:
    """Judge a single claim with a margin of 1 and one look at n pairs, many times."""
    draws = (dict(enumerate(rng.normal(effect, sd, n))) for _ in range(repeats))
    return [decide([Comparison("claim", pairs, 1.0, looks=(n,))], 1)[0] for pairs in draws]


def planted(rng: Generator, studies: int) -> list[str]:
    """Label known effects between -2 and 4 margins in studies with a margin of 4 sd.

    Returns:
        A row for each effect: the fractions of right labels, and of right or undecided labels.
    """
    margin = 4 * 2**0.5  # in standard deviations of a run; 4 of a paired difference
    right = {
        "0": (0.0, [Label.no_effect]),
        # Half of the margin is too small to matter, so "no effect" is right, too.
        "δ/2": (0.5, [Label.direction, Label.no_effect]),
        "2δ": (2.0, [Label.holds]),
        "4δ": (4.0, [Label.holds]),
        "−2δ": (-2.0, [Label.opposite]),
    }
    effects = [effect * margin for effect, _ in right.values()]
    found = [one_command(draw(rng, effects, margin), len(right))[-1] for _ in range(studies)]
    rows = []
    for (name, (_, labels)), verdicts in zip(right.items(), zip(*found, strict=True), strict=True):
        hits = [
            [v.label in known for v in verdicts] for known in (labels, [*labels, Label.undecided])
        ]
        rows.append(f"| {name} | ≥ .95 right or undecided | {_means(hits)} |")
    return rows


def table(rng: Generator, studies: int) -> str:
    """Return the whole simulation as Markdown."""
    few = max(1, studies // 5)
    lines = [
        f"Through `decide`, looks at {', '.join(map(str, LOOKS))} pairs, {CLAIMS} claims with one "
        f"baseline, seed {SEED}. Counts are of simulated studies.",
        *_head("family-wise error, no effect anywhere | target | wrong / studies"),
    ]
    cases: dict[str, dict[str, Any]] = {
        **{call: {} for call in CALLS},
        **{f"one command, {name}": {"generator": name} for name in list(GENERATORS)[1:]},
        "one command, a joint claim of 4 parts": {"parts": 4},
        "one command, all effects 0.8 δ": {"effects": (0.8 * 2,) * CLAIMS},
    }
    for name, changes in cases.items():
        wrong = family_wise_error(rng, name if name in CALLS else "one command", studies, **changes)
        lines.append(f"| {name} | ≤ .05 | {wrong} / {studies} = {wrong / studies:.3f} |")
    lines += _head("P(holds) at a true effect of 0.8 δ, one claim | target | n = 3 | 5 | 8 | 16")
    repeats = few * 10
    for sd in (0.05, 0.2, 0.5, 1.0):
        held = [
            [v.label is Label.holds for v in alone(rng, 0.8, sd, n, repeats)] for n in (*LOOKS, 16)
        ]
        lines.append(f"| sd of a difference {sd:g} δ, {repeats} repeats | ≤ .05 | {_means(held)} |")
    lines += _head(f"coverage, {studies} studies | target | mean | worst claim | all together")
    for generator in GENERATORS:
        cells = " | ".join(f"{share:.3f}" for share in coverage(rng, generator, studies))
        lines.append(f"| {generator} | ≥ .95 | {cells} |")
    covered = [[_covers(v) for v in alone(rng, 0.0, 1.0, n, repeats)] for n in LOOKS]
    lines.append(f"| one claim alone, n = 3, 5, 8, {repeats} repeats | ≥ .95 | {_means(covered)} |")
    lines += _head(
        f"planted effect (δ = 4 sd), {few} studies | target | right | right or undecided"
    )
    lines += planted(rng, few)
    lines += _head(
        "P(holds) by sd of a difference, family of 11 | 0.1 δ | 0.25 δ | 0.5 δ | 1 δ | 2 δ"
    )
    for name, effect in (("true effect Δ = 2 δ", 2.0), ("true effect 2 Δ = 4 δ", 4.0)):
        cells = [
            chance_to_hold(effect, sd, 1.0, LOOKS, 0.05 / CLAIMS, CLAIMS)
            for sd in (0.1, 0.25, 0.5, 1.0, 2.0)
        ]
        lines.append(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return "\n".join(lines)


def _head(cells: str) -> list[str]:
    return ["", f"| {cells} |", "|" + "---|" * len(cells.split(" | "))]


def _means(groups: Sequence[Sequence[bool]]) -> str:
    return " | ".join(f"{np.mean(group):.3f}" for group in groups)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=STUDIES, help="simulated studies per row")
    print(table(np.random.default_rng(SEED), parser.parse_args().studies))
