import numpy as np
import pytest

from ablations.stats import simulate
from ablations.stats.multiplicity import adjust

SEEDS = list(enumerate(simulate.SEEDS))


@pytest.fixture
def rng():
    return np.random.default_rng(2012)


def test_seed_correlation_is_the_one_asked_for(rng):
    pairs = simulate.differences(rng, "normal", 3, correlation=0.5)
    assert pairs.var() == pytest.approx(1.0, abs=0.02)
    assert np.corrcoef(pairs[:, 0, 0], pairs[:, 1, 0])[0, 1] == pytest.approx(0.5, abs=0.02)


def test_family_of_true_nulls_is_rejected_by_its_smallest_p_value(rng):
    for p in rng.uniform(0, 0.1, (20, simulate.CLAIMS)):
        rejected = (adjust(p, simulate.ALPHA, "holm").p <= simulate.ALPHA).any()
        assert rejected == (p.min() <= simulate.ALPHA / simulate.CLAIMS)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", simulate.SCENARIOS)
def test_family_wise_error_is_near_the_planned_figure(rng, scenario):
    for i, n in SEEDS:
        error = simulate.family_wise_error(rng, scenario, n)
        assert error <= 0.045
        assert error == pytest.approx(simulate.FAMILY_WISE[scenario][i], abs=0.018)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", simulate.SCENARIOS)
def test_coverage_is_near_the_planned_figure(rng, scenario):
    for i, n in SEEDS:
        mean, worst = simulate.coverage(rng, scenario, n)
        assert mean >= 0.915
        planned = simulate.WORST_COVERAGE.get(scenario, (0.945,) * 3)[i]
        assert worst >= (planned or 0.9) - 0.005


@pytest.mark.slow
@pytest.mark.parametrize("case", simulate.POWER)
def test_power_is_the_planned_figure(rng, case):
    for i, n in SEEDS:
        planned = simulate.POWER[case][i]
        if planned is not None:
            measured = simulate.power(rng, case[0], n, case[1])
            assert measured == pytest.approx(planned, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("ratio", simulate.VERDICTS)
def test_labels_come_as_often_as_planned(rng, ratio):
    for i, n in SEEDS:
        rates = simulate.verdict_rates(rng, ratio, n)
        for measured, planned in zip(rates, simulate.VERDICTS[ratio], strict=True):
            if planned[i] is not None:
                assert measured == pytest.approx(planned[i], abs=0.025)


def test_whole_studies_find_large_effects_early_and_nothing_in_noise(rng):
    false, found, pairs = simulate.whole_studies(rng, 5, true=6, effect=20.0)
    assert found == 1.0
    assert pairs < 6  # six claims stop at once, the others are tiny beside the margin of ten
    assert simulate.whole_studies(rng, 5)[0] == false == 0.0


def test_whole_studies_report_effects_where_there_are_none(rng, monkeypatch):
    shifted = simulate.Comparison
    monkeypatch.setattr(
        simulate,
        "Comparison",
        lambda *, without, **rest: shifted(without={s: v + 9 for s, v in without.items()}, **rest),
    )
    assert simulate.whole_studies(rng, 3)[0] == 1.0


@pytest.mark.slow
def test_whole_studies_keep_the_error_rate(rng):
    false, _, _ = simulate.whole_studies(rng, 200)
    assert false <= 0.045
    false, found, pairs = simulate.whole_studies(rng, 50, true=6, effect=3.0)
    assert false <= 0.06
    assert found >= 0.9
    assert pairs < 8


@pytest.mark.slow
def test_table_has_every_row(rng, monkeypatch):
    monkeypatch.setattr(simulate, "STUDIES", 20)
    table = simulate.table(rng)
    for name in simulate.SCENARIOS:
        assert f"| {name} |" in table
