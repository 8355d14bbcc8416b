import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from ablations.stats.interval import Effect
from ablations.stats.power import (
    Progress,
    Reach,
    chance_to_decide,
    power,
    seeds_needed,
    seeds_to_decide,
)


@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize("effect", [1.0, 2.0, 3.0])
def test_one_claim_has_the_power_of_statsmodels(effect, n):
    # statsmodels counts the wrong tail as well, at most a few in ten thousand here.
    assert power(effect, n) == pytest.approx(TTestPower().power(effect, n, 0.05), abs=5e-3)


def test_borrowed_variance_adds_power():
    assert power(2.0, 3, 0.05 / 11, claims=11) > 3 * power(2.0, 3, 0.05 / 11)


def test_published_power_of_the_pool():
    # 3 sd of a run are 3/sqrt(2) sd of a difference; Holm is at least as good as Bonferroni.
    assert power(3 / 2**0.5, 5, 0.05 / 11, claims=11) == pytest.approx(0.83, abs=0.06)


def test_seeds_needed_are_the_fewest():
    n = seeds_needed(1.5)
    assert n is not None
    assert power(1.5, n) >= 0.8 > power(1.5, n - 1)


def test_tiny_effects_are_out_of_reach():
    assert seeds_needed(0.01) is None


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
