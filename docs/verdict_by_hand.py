"""Compute the label of ReLU against tanh from its records, with numpy and scipy alone."""

import json
from pathlib import Path

import numpy as np
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
TARGET, PAPER = 0.25, 6.0  # online training error; the paper's ratio of epochs
PAIRS, LAST_LOOK = 3, 8  # this look, and the last one of the study
ALPHA = 0.05 / 2  # halved, because an earlier study looked at the claim on these images

records = [json.loads(path.read_text()) for path in ROOT.glob("results/relu/records/*.json")]


def epochs(activation: str, seed: int) -> float:
    """Return when a run met the target for the second epoch in a row, interpolated."""
    (run,) = (
        record
        for record in records
        if record["differences"].get("activation", "relu") == activation and record["seed"] == seed
    )
    error = np.array([point["train"]["top1"] for point in run["curve"]])
    first = np.flatnonzero((error[:-1] <= TARGET) & (error[1:] <= TARGET))[0]
    before, after = error[first - 1], error[first]
    return first + (before - TARGET) / (before - after)


seeds = range(100, 100 + PAIRS)
effects = np.log([epochs("tanh", seed) / epochs("relu", seed) for seed in seeds])
# The share of the error rate that an O'Brien-Fleming-type plan spends at this look.
share = 2 * stats.norm.sf(stats.norm.isf(0.025) / np.sqrt(PAIRS / LAST_LOOK)) / 0.05
t = stats.t.isf(ALPHA * share / 2, PAIRS - 1)
half = t * effects.std(ddof=1) / np.sqrt(PAIRS)
low, middle, high = np.exp(effects.mean() + half * np.array([-1, 0, 1]))
margin = np.sqrt(PAPER)  # half of the paper's effect, as a logarithm
label = "holds here" if low >= margin else "another label"
print(f"{middle:.2f}x [{low:.2f}, {high:.2f}], margin {margin:.2f}x: {label}")
