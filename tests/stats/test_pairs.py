import math

import numpy as np
import pytest

from ablations.stats.pairs import Comparison, pair

NAN, INF = math.nan, math.inf


def _arm(*values):
    return dict(enumerate(values))


def test_difference_is_positive_in_the_papers_direction():
    without, having = _arm(0.42, 0.44), _arm(0.40, 0.41)
    lower = pair(Comparison("c", without, having, paper=0.01, looks=(2,)))
    higher = pair(Comparison("c", without, having, direction="higher", paper=0.01, looks=(2,)))
    assert lower.differences == pytest.approx([0.02, 0.03])
    assert higher.differences == pytest.approx([-0.02, -0.03])


def test_factors_are_compared_as_logarithms():
    claim = Comparison("c", _arm(30, 40), _arm(5, 4), kind="ratio", paper=6.0, looks=(2,))
    assert pair(claim).differences == pytest.approx(np.log([6, 10]))
    assert claim.from_scale(claim.scaled_margin) == pytest.approx(6**0.5)


def test_only_common_seeds_are_paired():
    baseline = _arm(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    data = pair(Comparison("c", {2: 9.0, 0: 9.0, 1: 9.0}, baseline, paper=1.0))
    assert (data.n, data.look) == (3, 0)
    assert data.differences == pytest.approx([8.0, 7.0, 6.0])
    assert data.warnings == ()


def test_seed_missing_in_the_middle_is_named():
    data = pair(Comparison("c", _arm(1.0, 2.0, 3.0, 4.0), {0: 0.0, 1: 0.0, 3: 0.0}, paper=1.0))
    assert data.differences == pytest.approx([1.0, 2.0, 4.0])
    assert data.warnings == ("seed 2 is missing with the technique",)


def test_pairs_wait_for_the_next_look():
    data = pair(Comparison("c", _arm(*[1.0] * 4), _arm(*[0.0] * 4), paper=1.0))
    assert (data.n, data.look) == (3, 0)
    assert data.warnings == ("1 of 4 pairs wait for 5 and are not used",)


def test_pairs_beyond_the_plan_are_not_used():
    claim = Comparison("c", _arm(*[1.0] * 10), _arm(*[0.0] * 10), paper=1.0)
    assert (pair(claim).n, pair(claim).look) == (8, 2)
    assert "2 of 10 pairs lie beyond the plan" in pair(claim).warnings[0]
    assert pair(claim, stop_at_looks=False).n == 10


def test_diverged_run_is_an_outcome():
    claim = Comparison(
        "c", _arm(0.3, NAN, 0.3), _arm(0.2, 0.2, 0.2), paper=0.1, diverged_as=1 - 1 / 10
    )
    data = pair(claim)
    assert data.differences == pytest.approx([0.1, 0.7, 0.1])
    assert data.diverged == (1, 0)
    assert data.warnings == ("stability differs: 1 of 3 without the technique, 0 with it diverged",)


def test_diverged_run_without_a_measure_is_not_dropped_silently():
    data = pair(Comparison("c", _arm(0.3, NAN), _arm(0.2, 0.2), paper=0.1, kind="gap", looks=(2,)))
    assert not data.measurable
    assert not data.usable


@pytest.mark.parametrize(
    ("without", "having", "low_holds", "high_holds", "silent"),
    [
        (_arm(30, 40, 20), _arm(5, 6, 7), True, True, 0),
        (_arm(30, INF, 20), _arm(5, 6, 7), True, False, 0),
        (_arm(30, NAN, 20), _arm(5, 6, 7), True, False, 0),
        (_arm(30, 40, 20), _arm(5, INF, 7), False, True, 0),
        (_arm(30, INF, 20), _arm(INF, 6, 7), False, False, 0),
        (_arm(30, INF, 20), _arm(5, INF, 7), True, True, 1),
    ],
)
def test_times_cut_short_bound_the_effect(without, having, low_holds, high_holds, silent):
    claim = Comparison("c", without, having, kind="time_to_target", budget=50, paper=6.0)
    data = pair(claim)
    assert (data.low_holds, data.high_holds, data.silent) == (low_holds, high_holds, silent)
    assert len(data.differences) == 3 - silent


def test_bounds_change_sides_with_the_direction():
    claim = Comparison(
        "c",
        _arm(10, 10, 10),
        _arm(INF, 20, 20),
        kind="time_to_target",
        direction="higher",
        budget=50,
        paper=2.0,
    )
    data = pair(claim)
    assert data.differences == pytest.approx(np.log([5, 2, 2]))
    assert (data.low_holds, data.high_holds) == (True, False)


def test_count_of_zero_stands_for_half_a_step():
    claim = Comparison("c", _arm(0.2), _arm(0.0), kind="ratio", paper=2.0, resolution=0.1)
    assert pair(claim).differences == pytest.approx([np.log(4)])


def test_factor_of_nothing_is_refused():
    with pytest.raises(ValueError, match="c: a factor needs positive measures"):
        pair(Comparison("c", _arm(0.2), _arm(0.0), kind="ratio", paper=2.0))


def test_margin_is_half_the_papers_effect_but_no_less_than_one_image():
    assert Comparison("c", {}, {}, paper=0.004).scaled_margin == 0.002
    assert Comparison("c", {}, {}, paper=0.004, resolution=0.01).scaled_margin == 0.01
    assert Comparison("c", {}, {}, paper=0.004, margin=0.003).scaled_margin == 0.003


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "a margin must be given"),
        ({"paper": -0.01}, "paper must be above 0"),
        ({"paper": 0.9, "kind": "ratio"}, "paper must be above 1"),
        ({"margin": 0.0}, "margin must be above 0"),
        ({"paper": 2.0, "kind": "time_to_target"}, "needs the budget"),
        ({"paper": 2.0, "kind": "ratio", "image_variance": 1.0}, "needs kind: difference"),
    ],
)
def test_contradictory_fields_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Comparison("c", {}, {}, **fields)
