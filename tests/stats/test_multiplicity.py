import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from ablations.stats.multiplicity import adjust


def test_holm_by_hand():
    adjusted = adjust([0.01, 0.04, 0.015], 0.05, "holm")
    assert adjusted.p == pytest.approx([0.03, 0.04, 0.03])
    assert adjusted.level == pytest.approx([0.05 / 3, 0.05, 0.05 / 2])


def test_holm_tests_what_is_left_at_the_level_that_failed_first():
    adjusted = adjust([0.001, 0.03, 0.04], 0.05, "holm")
    assert adjusted.level == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2])


def test_benjamini_hochberg_by_hand():
    adjusted = adjust([0.01, 0.03, 0.2], 0.05, "fdr_bh")
    assert adjusted.p == pytest.approx([0.03, 0.045, 0.2])
    assert adjusted.level == pytest.approx([0.05 * 2 / 3, 0.05 * 2 / 3, 0.05])


@pytest.mark.parametrize("method", ["holm", "bonferroni", "fdr_bh"])
def test_level_and_adjusted_p_value_agree(method):
    rng = np.random.default_rng(3)
    for _ in range(20):
        p = rng.beta(0.3, 3.0, size=rng.integers(1, 12))
        adjusted = adjust(p, 0.05, method)
        assert ((p <= adjusted.level) == (adjusted.p <= 0.05)).all()


@pytest.mark.parametrize("method", ["holm", "bonferroni", "fdr_bh"])
def test_adjusted_p_values_are_those_of_statsmodels(method):
    rng = np.random.default_rng(4)
    for size in [1, 2, 2, 3, 5, 19]:
        p = rng.beta(0.3, 3.0, size=size).round(2)  # some of them equal
        assert adjust(p, 0.05, method).p == pytest.approx(multipletests(p, 0.05, method)[1])


@pytest.mark.parametrize("method", ["holm", "bonferroni", "fdr_bh"])
def test_one_claim_is_not_adjusted(method):
    adjusted = adjust([0.02], 0.05, method)
    assert (adjusted.p[0], adjusted.level[0]) == pytest.approx((0.02, 0.05))
