import numpy as np
import pytest
from scipy import stats

from ablations.stats.intervals import critical, spread

FIVE = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


def test_one_comparison_has_the_paired_t_interval():
    found = spread(FIVE[None])
    reach = critical(0.05, found.df[0]) * found.sd[0] / 5**0.5
    reference = stats.ttest_1samp(FIVE, 0.0).confidence_interval()
    assert (3 - reach, 3 + reach) == pytest.approx(tuple(reference))


def test_three_comparisons_by_hand():
    # Variances 1, 4 and 7: pooled 4, with (3 - 1) * 2 degrees of freedom.
    base = np.array([-1.0, 0.0, 1.0])
    found = spread(np.array([base, 2 * base, 7**0.5 * base]))
    assert found.sd == pytest.approx([2.0, 2.0, 7**0.5])
    assert found.df == pytest.approx([4.0, 4.0, 4.0])
    assert found.own_sd == pytest.approx([1.0, 2.0, 7**0.5])


def test_unequal_numbers_of_pairs_weigh_variances_by_their_degrees_of_freedom():
    table = np.array([[0.0, 2.0, np.nan, np.nan], [0.0, 0.0, 2.0, 2.0]])
    # Sums of squares 2 and 4 on 1 and 3 degrees of freedom: pooled 6/4 is below the first's own 2.
    assert spread(table).sd == pytest.approx([2**0.5, 1.5**0.5])


def test_a_noisy_comparison_leaves_the_pool():
    base = np.array([-1.0, 0.0, 1.0])
    found = spread(np.array([base, base, base, 10 * base]))
    assert found.noisy.tolist() == [False, False, False, True]
    assert found.sd == pytest.approx([1.0, 1.0, 1.0, 10.0])
    assert found.df == pytest.approx([4.0] * 3 + [2.0])


def test_a_floor_keeps_equal_differences_apart_from_certainty():
    assert spread(np.zeros((1, 3)), floor=0.04).sd == pytest.approx([0.2])
