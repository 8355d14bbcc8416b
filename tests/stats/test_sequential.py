import numpy as np
import pytest
from scipy import stats

from ablations.stats.sequential import AnytimeEffect, e_value, nominal_levels, spent
from ablations.stats.simulate import LEVELS, error_at_any_time, error_over_looks


@pytest.mark.parametrize(("plan", "published"), LEVELS.items())
def test_levels_are_the_calibrated_ones(plan, published):
    # The published levels come from a million simulated paths.
    assert nominal_levels(plan[0], 0.05, plan[1]) == pytest.approx(published, abs=5e-4)


def test_published_boundaries_of_t_follow_from_the_levels():
    t = [
        stats.t.isf(level / 2, n - 1)
        for n, level in zip((3, 5, 8), nominal_levels((3, 5, 8), 0.05), strict=True)
    ]
    assert t == pytest.approx([27.5, 4.36, 2.49], rel=0.02)


def test_one_look_is_a_fixed_plan():
    assert nominal_levels((5,), 0.05) == pytest.approx((0.05,))


def test_share_of_alpha_is_spent_in_the_same_proportions():
    whole, share = nominal_levels((3, 5, 8), 0.05), nominal_levels((3, 5, 8), 0.05 / 11)
    assert share[0] == pytest.approx(whole[0] / 11)
    assert all(a <= b / 11 for a, b in zip(share[1:], whole[1:], strict=True))


@pytest.mark.parametrize("spending", ["obrien_fleming", "linear"])
def test_everything_is_spent_in_the_end(spending):
    assert spent(1.0, 0.01, spending) == pytest.approx(0.01)
    assert (np.diff(spent(np.linspace(0.1, 1, 10), 0.01, spending)) > 0).all()


@pytest.mark.parametrize("looks", [(), (1, 3), (3, 3), (5, 3)])
def test_looks_must_increase_from_two(looks):
    with pytest.raises(ValueError, match="looks must increase"):
        nominal_levels(looks, 0.05)


def test_e_value_by_hand():
    # n = 2, g = 4: 9^(-1/2) * (1 + 9) / (1 + 9/9)
    assert e_value(3.0, 2) == pytest.approx(10 / 2 / 3)


@pytest.mark.parametrize("n", [4, 5, 20])
def test_confidence_sequence_ends_where_its_test_rejects(n):
    reach = AnytimeEffect(0.0, 1.0, n).critical(0.05)
    assert AnytimeEffect(reach, 1.0, n).p_value() == pytest.approx(0.05)
    interval = AnytimeEffect(reach, 1.0, n).interval(0.05)
    assert (interval.low, interval.high) == pytest.approx((0.0, 2 * reach))


@pytest.mark.parametrize("n", [2, 3])
def test_few_pairs_can_never_show_anything_at_any_time(n):
    assert AnytimeEffect(1.0, 1e-6, n).interval(0.05).low == float("-inf")


def test_anytime_effect_within_the_margin_is_negligible():
    effect = AnytimeEffect(0.0, 0.1, 20)
    assert effect.negligible_p_value(1.0) < 0.05
    assert effect.negligible_p_value(0.1) > 0.05
    assert AnytimeEffect(2.0, 0.1, 20).negligible_p_value(1.0) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("plan", LEVELS)
def test_simulated_error_over_looks_is_alpha(plan):
    looks, spending = plan
    rng = np.random.default_rng(0)
    error = error_over_looks(rng, looks, nominal_levels(looks, 0.05, spending))
    assert error == pytest.approx(0.05, abs=0.004)


@pytest.mark.slow
def test_simulated_family_over_looks_keeps_alpha():
    levels = nominal_levels((3, 5, 8), 0.05 / 11)
    assert error_over_looks(np.random.default_rng(0), (3, 5, 8), levels, claims=11) <= 0.04


@pytest.mark.slow
def test_simulated_e_process_keeps_alpha_for_ever():
    error = error_at_any_time(np.random.default_rng(0), range(3, 11))
    assert error == pytest.approx(0.018, abs=0.003)
