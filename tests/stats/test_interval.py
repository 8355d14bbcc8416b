import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import DescrStatsW

from ablations.stats.interval import Effect, spread

FIVE = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


def pool_factor(claims):
    """Independent estimates that those of K claims with a common baseline are worth."""
    return 1 / (1 / claims + (1 - 1 / claims) / 4)


def _effect(differences):
    found = spread(differences[None])
    n = len(differences)
    return Effect(differences.mean(), found.sd[0] / n**0.5, found.df[0])


def test_five_written_differences_by_hand():
    # mean 3, variance 10/4, standard error sqrt(2.5/5), t(0.975; 4) = 2.776
    interval = _effect(FIVE).interval(0.05)
    assert (interval.low, interval.high) == pytest.approx((1.0368, 4.9632), abs=1e-4)


def test_one_claim_is_the_paired_t_test():
    effect = _effect(FIVE)
    reference = stats.ttest_1samp(FIVE, 0.0)
    assert effect.p_value() == pytest.approx(reference.pvalue)
    interval = effect.interval(0.05)
    assert (interval.low, interval.high) == pytest.approx(tuple(reference.confidence_interval()))


@pytest.mark.parametrize("margin", [0.5, 3.5, 10.0])
def test_two_one_sided_tests_are_those_of_statsmodels(margin):
    p = DescrStatsW(FIVE).ttost_mean(-margin, margin)[0]
    assert _effect(FIVE).negligible_p_value(margin) == pytest.approx(p)


@pytest.mark.parametrize("margin", [2.0, 4.5, 5.5])
def test_negligible_interval_lies_within_the_margin_where_its_test_rejects(margin):
    effect = _effect(FIVE)
    interval = effect.negligible_interval(0.05)
    inside = -margin < interval.low and interval.high < margin
    assert inside == (effect.negligible_p_value(margin) < 0.05)


def test_three_claims_by_hand():
    # Variances 1, 4 and 7: pooled 4, with (3 - 1) * 2 degrees of freedom.
    base = np.array([-1.0, 0.0, 1.0])
    found = spread(np.array([base, 2 * base, 7**0.5 * base]))
    assert found.sd == pytest.approx([2.0, 2.0, 7**0.5])
    assert found.df == pytest.approx([4.0, 4.0, 4.0])
    assert found.own_sd == pytest.approx([1.0, 2.0, 7**0.5])


def test_pool_never_lowers_a_claims_own_variance():
    found = spread(np.random.default_rng(0).standard_normal((100, 5, 3)))
    assert (found.sd >= found.own_sd).all()


@pytest.mark.parametrize("claims", [1, 2, 6, 11])
def test_equal_numbers_of_pairs_give_the_pool_factor(claims):
    found = spread(np.random.default_rng(claims).standard_normal((claims, 40)))
    assert found.df == pytest.approx(np.full(claims, 39 * pool_factor(claims)))


def test_unequal_numbers_of_pairs_lie_between_the_equal_ones():
    rng = np.random.default_rng(1)
    full = rng.standard_normal((4, 8))
    ragged = full.copy()
    ragged[:2, 3:] = np.nan
    low, mixed, high = (spread(table).df[0] for table in (full[:, :3], ragged, full))
    assert low < mixed < high


def test_unequal_numbers_of_pairs_weigh_variances_by_their_degrees_of_freedom():
    table = np.array([[0.0, 2.0, np.nan, np.nan], [0.0, 0.0, 2.0, 2.0]])
    # Sums of squares 2 and 4 on 1 and 3 degrees of freedom: pooled 6/4 is below the first's own 2.
    assert spread(table).sd == pytest.approx([2**0.5, 1.5**0.5])


def test_noisy_claim_leaves_the_pool():
    base = np.array([-1.0, 0.0, 1.0])
    found = spread(np.array([base, base, base, 10 * base]))
    assert found.noisy.tolist() == [False, False, False, True]
    assert found.sd == pytest.approx([1.0, 1.0, 1.0, 10.0])
    assert found.df == pytest.approx([2 * pool_factor(3)] * 3 + [2.0])


def test_equal_differences_borrow_the_pools_variance():
    found = spread(np.array([[0.5, 0.5, 0.5], [0.0, 1.0, 2.0]]))
    assert found.own_sd[0] == 0
    assert found.sd[0] == pytest.approx(0.5**0.5)


def test_floor_keeps_equal_differences_apart_from_certainty():
    assert spread(np.zeros((1, 3)), floor=0.04).sd == pytest.approx([0.2])


def test_claim_with_one_pair_has_no_variance():
    with pytest.raises(ValueError, match="two pairs"):
        spread(np.array([[1.0, np.nan], [1.0, 2.0]]))


def test_repeats_are_independent_of_each_other():
    tables = np.random.default_rng(2).standard_normal((7, 3, 4))
    together = spread(tables)
    for i, table in enumerate(tables):
        assert together.sd[i] == pytest.approx(spread(table).sd)
