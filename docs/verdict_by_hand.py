"""Compute labels of three studies from their records, with numpy and scipy alone."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
# Two-sided levels of the looks for an error rate of 5 %; smaller rates scale them, nearly.
LEVELS = {3: 0.0013714, 5: 0.0120040, 8: 0.0416107}


@cache
def records(study: str) -> list[dict]:
    """Return the records of a study."""
    return [json.loads(path.read_text()) for path in ROOT.glob(f"results/{study}/records/*.json")]


def run(study: str, seed: int, arm: dict) -> dict | None:
    """Return the record with these settings, None if it is not trained."""
    found = [
        record
        for record in records(study)
        if record["seed"] == seed
        and all(record["differences"].get(name) == value for name, value in arm.items())
    ]
    assert len(found) < 2, f"{arm} names several arms"
    return found[0] if found else None


def effects(study: str, measure: Callable, technique: dict, without: dict) -> np.ndarray:
    """Return the log ratios of a measure without and with a technique, for each finished pair."""
    seeds = range(100, 108)
    pairs = [[run(study, seed, arm) for arm in (without, technique)] for seed in seeds]
    return np.array([np.log(measure(old) / measure(new)) for old, new in pairs if old and new])


def error(record: dict, view: str = "ten_view") -> float:
    """Return the test error; the half image avoids the logarithm of zero."""
    test = record["test"][view]
    return (test["top1"] * test["count"] + 0.5) / (test["count"] + 1)


def center(record: dict) -> float:
    """Return the test error in one view."""
    return error(record, "center")


def epochs(record: dict, target: float = 0.25) -> float:
    """Return when the training error met the target for the second epoch in a row, interpolated."""
    errors = np.array([point["train"]["top1"] for point in record["curve"]])
    first = np.flatnonzero((errors[:-1] <= target) & (errors[1:] <= target))[0]
    before, after = errors[first - 1], errors[first]
    return first + (before - target) / (before - after)


def judge(claim: str, pool: list, margin: float, alpha: float, judged: int, parts: int = 1) -> None:
    """Print ratio, interval and label of the first comparisons of a pool.

    Args:
        claim: Name to print.
        pool: Log ratios of each comparison with the same baseline and measure.
        margin: Smallest ratio that matters.
        alpha: Error rate of the claim over all looks.
        judged: Number of comparisons to judge.
        parts: Number of parts of the claim, which share its error rate.
    """
    for effect in pool[:judged]:
        n = len(effect)
        used = [other[:n] for other in pool]
        dof = np.array([len(other) - 1.0 for other in used])
        own = np.array([other.var(ddof=1) for other in used])
        # The shared baseline correlates the variances by a quarter.
        overlap = np.minimum(dof[:, None], dof).sum()
        df = dof.sum() ** 2 / (0.75 * dof.sum() + 0.25 * overlap)
        variance = max(effect.var(ddof=1), (dof * own).sum() / dof.sum())
        level = LEVELS[n] * alpha / 0.05 / parts
        outer, inner = (stats.t.isf(p, df) * np.sqrt(variance / n) for p in (level / 2, level))
        mean, delta = effect.mean(), np.log(margin)
        rules = {
            "holds here": mean - outer >= delta,
            "direction holds here": mean - outer > 0,
            "opposite here": mean + outer < 0,
            "no effect here": abs(mean) + inner < delta,
            "undecided": True,
        }
        label = next(label for label, true in rules.items() if true)
        ratio, low, high = np.exp([mean, mean - outer, mean + outer])
        print(f"{claim}: {ratio:.3f}x [{low:.3f}, {high:.3f}], margin {margin:.3f}x: {label}")


# ReLU: the margin is half of the paper's effect, as a logarithm; an earlier study of the claim on
# the same images halves its error rate. None stands for the default of a setting.
relu, tanh = {"activation": None}, {"activation": "tanh"}
judge("relu", [effects("relu", epochs, relu, tanh)], 6**0.5, 0.05 / 2, judged=1)

# Larger and longer: two parts with one baseline. The margin is in the file of the claim.
best = {"width": 0.25, "recipe.epochs": 40}
parts = {"width": 0.125}, {"recipe.epochs": 10}
compared = [effects("larger", error, best, best | part) for part in parts]
judge("larger", compared, 1.02, 0.05, judged=2, parts=2)

# Two towers: all comparisons of test errors in the study share the baseline. The paper's effect is
# 1.7 points, and its error with two towers is 37.47 %. The family of the study has 15 claims, and
# there was an earlier study of the claim.
names = "towers norm pooling augmentation dropout bias_init depth recipe.lr recipe.weight_decay"
base = dict.fromkeys(names.split()) | {"recipe.precision": "bf16"}
half = {"towers": "half", "recipe.lr": 0.005}
nonoverlap = {"pooling": "nonoverlap", "recipe.lr": 0.02}
crop_flip = {"augmentation": "crop_flip", "recipe.lr": 0.005}
ten = half, {"norm": "none"}, nonoverlap, crop_flip
one = nonoverlap, {"augmentation": "color"}, {"dropout": "off", "recipe.lr": 0.0025}
compared = [effects("main", error, base, base | arm) for arm in ten]
compared += [effects("main", center, base, base | arm) for arm in one]
judge("main", compared, (39.17 / 37.47) ** 0.5, 0.05 / 2 / 15, judged=1)
