import numpy as np
import pytest

from ablations.stats.interval import Effect
from ablations.stats.power import (
    Progress,
    Reach,
    chance_to_decide,
    seeds_to_decide,
)


def _reach(n):
    unit = Effect(0.0, 1.0, n - 1)
    return Reach(unit.critical(0.05), unit.negligible_critical(0.05))


def test_chance_to_decide_is_what_predictive_draws_say():
    rng = np.random.default_rng(4)
    mean, n, more, margin = 0.4, 5, 15, 0.7
    final = n + more
    # The mean of the further pairs, given that of the first n, with a flat prior.
    further = mean + rng.standard_t(n - 1, 200_000) * (1 / n + 1 / more) ** 0.5
    means = (n * mean + more * further) / final
    reach, se = _reach(final), final**-0.5
    decided = (abs(means) >= reach.effect * se) | (abs(means) <= margin - reach.negligible * se)
    chance = chance_to_decide(Progress(mean, 1.0, n - 1.0, n), more, margin, reach)
    assert chance == pytest.approx(decided.mean(), abs=0.005)


def test_every_outcome_decides_with_very_many_seeds():
    chance = chance_to_decide(Progress(0.4, 1.0, 4.0, 5), 900, 0.7, _reach(905))
    assert chance == pytest.approx(1.0)


def test_outlook_is_the_fewest_seeds_that_probably_decide():
    progress = Progress(0.4, 1.0, 4.0, 5)
    outlook = seeds_to_decide(progress, 0.7, _reach)
    assert outlook is not None
    fewer = chance_to_decide(progress, outlook.more - 1, 0.7, _reach(4 + outlook.more))
    assert outlook.chance >= 0.8 > fewer


def test_hopeless_claims_have_no_outlook():
    assert seeds_to_decide(Progress(0.0, 1.0, 499.0, 500), 0.001, _reach) is None
