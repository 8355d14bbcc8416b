import numpy as np
import pytest

from ablations.stats.labels import Comparison, Label, decide
from ablations.stats.power import chance_to_hold

LOOKS = (3, 5, 8)


def test_a_claim_with_parts_holds_if_all_of_them_do():
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        baseline, arms = rng.normal(0, 0.8, (1, 8)), rng.normal(0, 0.8, (3, 8))
        pairs = 2.0 + (arms - baseline) / 2**0.5
        looks = []
        for n in LOOKS:
            parts = [
                Comparison("c", dict(enumerate(row[:n])), 1.0, part=str(i), pool="baseline")
                for i, row in enumerate(pairs)
            ]
            looks.append(all(found.label is Label.holds for found in decide(parts, 1)))
        held += any(looks)
    chance = chance_to_hold(2.0, 0.8, 1.0, LOOKS, 0.05, pool=3, parts=3)
    assert chance == pytest.approx(held / 400, abs=0.08)
    assert chance < chance_to_hold(2.0, 0.8, 1.0, LOOKS, 0.05, pool=3) - 0.3
