import numpy as np
import pytest
from scipy import stats

from ablations.stats.secondary import paired_t, seed_correlation, sign_flip_p, sign_test

EIGHT = np.array([0.4, -0.1, 0.7, 0.3, 0.2, 0.5, -0.3, 0.6])


def test_paired_t_is_that_of_scipy():
    result = paired_t(EIGHT)
    reference = stats.ttest_1samp(EIGHT, 0.0)
    assert result is not None
    assert result.p == reference.pvalue
    assert (result.interval.low, result.interval.high) == tuple(reference.confidence_interval())


@pytest.mark.parametrize("differences", [[], [1.0], [2.0, 2.0, 2.0]])
def test_paired_t_has_no_answer_without_spread(differences):
    assert paired_t(np.array(differences)) is None


def test_sign_flips_are_the_exact_permutation_test():
    reference = stats.permutation_test(
        (EIGHT,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(EIGHT) == pytest.approx(reference.pvalue)


@pytest.mark.parametrize(("n", "smallest"), [(6, 2**-5), (8, 2**-7), (10, 2**-9)])
def test_smallest_sign_flip_p_value(n, smallest):
    assert sign_flip_p(np.linspace(1, 2, n)) == smallest


@pytest.mark.parametrize("n", [0, 1, 5, 17])
def test_sign_flips_only_where_they_say_something(n):
    assert sign_flip_p(np.ones(n)) is None


def test_sign_test_leaves_ties_out():
    result = sign_test(np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 0.0]))
    assert (result.positive, result.negative) == (6, 1)
    assert result.p == pytest.approx(2 * 8 / 2**7)


def test_sign_test_of_nothing_but_ties():
    assert sign_test(np.zeros(3)).p == 1.0


def test_seed_correlation():
    a = np.array([1.0, 2.0, 4.0])
    assert seed_correlation(a, 3 * a + 1) == pytest.approx(1.0)
    assert seed_correlation(a, np.ones(3)) is None
    assert seed_correlation(a[:2], a[:2]) is None


def test_paired_t_has_no_answer_for_differences_equal_up_to_rounding():
    assert paired_t(np.array([0.3, 0.1 + 0.2, 0.3])) is None
