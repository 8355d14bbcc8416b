import pytest

from ablations.stats.looks import nominal_levels

# From a million simulated paths of the one-sample t statistic.
PUBLISHED = {
    (3, 5, 8): (0.0013, 0.0120, 0.0416),
    (3, 5, 10): (0.0004, 0.0051, 0.0465),
    (5, 10): (0.0057, 0.0464),
    (5,): (0.05,),
    tuple(range(3, 11)): (0.0003, 0.0017, 0.0043, 0.0079, 0.0125, 0.0178, 0.0234, 0.0291),
}


@pytest.mark.parametrize(("looks", "published"), PUBLISHED.items())
def test_levels_are_the_calibrated_ones(looks, published):
    assert nominal_levels(looks, 0.05) == pytest.approx(published, abs=5e-4)


def test_a_share_of_alpha_is_spent_in_the_same_proportions():
    whole, share = nominal_levels((3, 5, 8), 0.05), nominal_levels((3, 5, 8), 0.05 / 11)
    assert share[0] == pytest.approx(whole[0] / 11)
    assert all(a <= b / 11 for a, b in zip(share[1:], whole[1:], strict=True))
