"""Compute the labels of two claims from their records, with numpy and scipy alone."""

import json
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


def run(study: str, pair: int, **settings: object) -> dict:
    """Return the record of a pair; settings are `differences`, or None for the default."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    (found,) = (
        record
        for record in records(study)
        if record["seed"] == 100 + pair
        and all(record["differences"].get(name) == value for name, value in named.items())
    )
    return found


def epochs(record: dict, split: str, target: float) -> float:
    """Return when the error met the target for the second epoch in a row, interpolated."""
    error = np.array([point[split]["top1"] for point in record["curve"]])
    first = np.flatnonzero((error[:-1] <= target) & (error[1:] <= target))[0]
    before, after = error[first - 1], error[first]
    return first + (before - target) / (before - after)


def error(record: dict) -> float:
    """Return the test error in ten views; the half image avoids the logarithm of zero."""
    test = record["test"]["ten_view"]
    return (test["top1"] * test["count"] + 0.5) / (test["count"] + 1)


def judge(claim: str, effects: np.ndarray, margin: float, alpha: float) -> None:
    """Print ratio, interval and label of each part.

    Args:
        claim: Name to print.
        effects: Log ratios of the arms, shape (parts, pairs).
        margin: Smallest ratio that matters.
        alpha: Error rate of the claim over all looks.
    """
    parts, pairs = effects.shape
    own = effects.var(axis=1, ddof=1)
    error = np.sqrt(np.maximum(own, own.mean()) / pairs)
    df = parts / (1 + (parts - 1) / 4) * (pairs - 1)
    level = LEVELS[pairs] * alpha / 0.05 / parts
    for effect, half in zip(effects.mean(axis=1), stats.t.isf(level / 2, df) * error, strict=True):
        low, high, delta = effect - half, effect + half, np.log(margin)
        inner = half * stats.t.isf(level, df) / stats.t.isf(level / 2, df)
        rules = {
            "holds here": low >= delta,
            "direction holds here": low > 0,
            "opposite here": high < 0,
            "no effect here": abs(effect) + inner < delta,
            "undecided": True,
        }
        label = next(label for label, true in rules.items() if true)
        ratio, low, high = np.exp([effect, low, high])
        print(f"{claim}: {ratio:.2f}x [{low:.2f}, {high:.2f}], margin {margin:.2f}x: {label}")


def relu(pair: int) -> float:
    """Return the log ratio of the epochs to 25 % training error."""
    slow, fast = run("relu", pair, activation="tanh"), run("relu", pair, activation=None)
    return np.log(epochs(slow, "train", 0.25) / epochs(fast, "train", 0.25))


def larger(pair: int, **without: object) -> float:
    """Return the log ratio of the test errors without and with the larger or longer training."""
    best = run("larger", pair, width=0.25, recipe__epochs=40)
    return np.log(error(run("larger", pair, **without)) / error(best))


# The margin of ReLU is half of the paper's effect, as a logarithm; an earlier study of the claim on
# the same images halves its error rate. The margin of the other claim is in its file.
judge("relu", np.array([[relu(pair) for pair in range(3)]]), 6**0.5, 0.05 / 2)
parts = {"width": 0.125}, {"recipe__epochs": 10}
effects = np.array([[larger(pair, **part) for pair in range(5)] for part in parts])
judge("larger", effects, 1.02, 0.05)
