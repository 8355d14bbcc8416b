import pytest

from ablations.stats.family import Rule, estimate_all, hold_all
from ablations.stats.pairs import Comparison, pair


def _claim(name, values, **fields):
    zeros = dict.fromkeys(range(len(values)), 0.0)
    return Comparison(name, dict(enumerate(values)), zeros, **({"paper": 1.0} | fields))


def _tested(claims, rule):
    pairs = [pair(claim, stop_at_looks=rule.stopping == "looks") for claim in claims]
    return hold_all(claims, pairs, estimate_all(claims, pairs, rule), rule)


THREE = [1.0, 1.2, 0.8]


def test_adjusted_p_value_at_one_look_is_holms():
    claims = [_claim("a", THREE, looks=(3,)), _claim("b", [1.0, -1.0, 0.5], looks=(3,))]
    a, b = _tested(claims, Rule())
    assert a.effect.p_adjusted == pytest.approx(2 * a.effect.p)
    assert b.effect.p_adjusted == pytest.approx(b.effect.p)
    assert a.effect.level == pytest.approx(0.025)


def test_adjusted_p_value_at_an_interim_look_pays_for_the_looks_to_come():
    (tested,) = _tested([_claim("a", THREE)], Rule())
    assert tested.effect.p_adjusted == pytest.approx(tested.effect.p * 0.05 / 0.001371, rel=1e-3)
    assert tested.final_effect_level == pytest.approx(0.0416, abs=1e-4)


def test_linear_spending_stops_earlier():
    (early,) = _tested([_claim("a", THREE)], Rule(spending="linear"))
    (late,) = _tested([_claim("a", THREE)], Rule())
    assert early.effect.level > 10 * late.effect.level
    assert early.final_effect_level < late.final_effect_level


def test_each_claim_has_its_own_looks():
    claims = [_claim("a", THREE, looks=(3,)), _claim("b", THREE, looks=(3, 5))]
    a, b = _tested(claims, Rule())
    assert a.effect.level > b.effect.level


def test_anytime_family_is_bonferronis():
    claims = [_claim(str(i), [1.0, 1.1, 0.9, 1.05, 0.95]) for i in range(3)]
    for tested in _tested(claims, Rule(stopping="anytime")):
        assert tested.effect.p_adjusted == pytest.approx(3 * tested.effect.p)
        assert tested.effect.level == pytest.approx(0.05 / 3)


def test_claim_without_an_estimate_has_p_values_of_one():
    (tested,) = _tested([_claim("a", [])], Rule())
    assert (tested.effect.p, tested.negligible.p) == (1.0, 1.0)


def test_misstated_looks_are_refused():
    with pytest.raises(ValueError, match="looks must increase"):
        _tested([_claim("a", THREE, looks=(5, 3))], Rule())
