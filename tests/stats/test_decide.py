import json
import math

import numpy as np
import pytest
from scipy import stats

from ablations.stats.decide import decide
from ablations.stats.family import Rule
from ablations.stats.pairs import Comparison
from ablations.stats.verdict import Label

NAN, INF = math.nan, math.inf
WIGGLE = np.array([-1.0, 0.4, 0.9, -0.6, 0.3, 0.8, -0.9, 0.1])


def claim(effect, *, sd=0.1, n=8, name="claim", **fields):
    """A claim with this mean difference and own standard deviation, whatever n."""
    wiggle = WIGGLE[:n] - WIGGLE[:n].mean()
    scale = sd / wiggle.std(ddof=1) if n > 1 else 0.0
    having = 10 + np.cos(np.arange(n))
    fields = {"paper": 1.0, "unit": "nats"} | fields
    differences = effect + scale * wiggle
    return Comparison(
        name, dict(enumerate(having + differences)), dict(enumerate(having)), **fields
    )


@pytest.mark.parametrize(
    ("comparison", "label"),
    [
        (claim(1.0), Label.reproduced),
        (claim(0.3), Label.direction_only),
        (claim(-0.3), Label.opposite),
        (claim(0.0), Label.negligible),
        (claim(0.5, sd=1.0), Label.inconclusive),
    ],
)
def test_each_label(comparison, label):
    (verdict,) = decide([comparison])
    assert verdict.label is label
    assert verdict.decided == (label is not Label.inconclusive)
    assert verdict.final


def test_one_claim_with_one_look_is_the_paired_t_test():
    comparison = claim(1.0, n=5, looks=(5,))
    (verdict,) = decide([comparison])
    differences = np.array(list(comparison.without.values())) - np.array(
        list(comparison.with_technique.values())
    )
    reference = stats.ttest_1samp(differences, 0.0)
    low, high = reference.confidence_interval()
    assert verdict.interval is not None
    assert verdict.paired_t is not None
    assert (verdict.interval.low, verdict.interval.high) == pytest.approx((low, high))
    assert verdict.effect_test.p == pytest.approx(reference.pvalue)
    assert verdict.effect_test.p_adjusted == pytest.approx(reference.pvalue)
    assert verdict.paired_t.p == pytest.approx(reference.pvalue)
    assert verdict.sentence == (
        f"reproduced: 1.0 nats (95 % interval {low:.1f} to {high:.1f}); the paper: 1"
    )


def test_five_written_differences():
    without = {0: 0.420, 1: 0.418, 2: 0.423, 3: 0.421, 4: 0.419}
    having = {0: 0.411, 1: 0.403, 2: 0.410, 3: 0.407, 4: 0.405}
    (verdict,) = decide([Comparison("lrn", without, having, paper=0.014, looks=(5,))])
    # Differences 0.9, 1.5, 1.3, 1.4, 1.4 points: mean 1.3, sd 0.2345, t(0.975; 4) = 2.7764.
    assert verdict.estimate == pytest.approx(0.013)
    assert verdict.sd == pytest.approx(0.002345, abs=1e-6)
    assert verdict.interval is not None
    assert verdict.interval.low == pytest.approx(0.013 - 2.7764 * 0.002345 / 5**0.5, abs=1e-6)
    assert verdict.sentence == "reproduced: 1.3 points (95 % interval 1.0 to 1.6); the paper: 1.4"
    assert verdict.sub_labels == ("strong", "consistent with the paper")


def test_family_adjusts_both_questions():
    claims = [claim(effect, name=str(effect)) for effect in (1.0, 0.8, 0.0)]
    verdicts = decide(claims)
    p = np.array([verdict.effect_test.p for verdict in verdicts])
    adjusted = np.array([verdict.effect_test.p_adjusted for verdict in verdicts])
    assert (adjusted > p).all()
    assert verdicts[2].negligible_test.p_adjusted > verdicts[2].negligible_test.p


@pytest.mark.parametrize("stopping", ["looks", "anytime"])
@pytest.mark.parametrize("family", ["confirmatory", "exploratory"])
def test_interval_leaves_out_zero_exactly_where_the_adjusted_test_rejects(stopping, family):
    rng = np.random.default_rng(5)
    rejected = 0
    for _ in range(10):
        claims = [
            claim(
                rng.normal(),
                sd=rng.uniform(0.05, 0.6),
                n=int(n),
                name=str(i),
                pool="p",
                family=family,
            )
            for i, n in enumerate(rng.choice([3, 5, 8], size=6))
        ]
        for verdict in decide(claims, Rule(stopping=stopping)):
            assert verdict.interval is not None
            outside = verdict.interval.low > 0 or verdict.interval.high < 0
            assert outside == (verdict.effect_test.p_adjusted <= 0.05)
            rejected += outside
    assert 5 < rejected < 55


def test_claims_without_runs_count_in_the_family():
    missing = Comparison("later", {}, {}, paper=1.0)
    alone, accompanied = decide([claim(1.0)])[0], decide([claim(1.0), missing])[0]
    assert accompanied.effect_test.p_adjusted == pytest.approx(
        2 * alone.effect_test.p_adjusted, rel=0.1
    )
    verdict = decide([missing])[0]
    assert verdict.label is Label.inconclusive
    assert verdict.sentence == "inconclusive: no pairs yet"
    assert verdict.estimate is None


def test_families_do_not_disturb_each_other():
    exploratory = [claim(0.0, name=str(i), family="exploratory") for i in range(5)]
    assert decide([claim(1.0), *exploratory])[0] == decide([claim(1.0)])[0]


def test_pool_lends_variance():
    three = [claim(1.0, n=3, name=str(i), pool="baseline") for i in range(3)]
    alone = decide([claim(1.0, n=3, name=str(i)) for i in range(3)])[0]
    pooled = decide(three)[0]
    assert (alone.df, pooled.df) == (2.0, 4.0)
    assert pooled.effect_test.p < alone.effect_test.p


def test_kinds_are_never_pooled():
    ratio = claim(1.0, name="ratio", kind="ratio", paper=2.0, pool="baseline")
    assert decide([claim(1.0, pool="baseline"), ratio])[0].df == 7.0


def test_noisy_claim_stands_alone_and_says_so():
    calm = [claim(1.0, name=str(i), pool="baseline") for i in range(3)]
    verdicts = decide([*calm, claim(1.0, sd=5.0, name="noisy", pool="baseline")])
    assert verdicts[3].df == 7.0
    assert "scatters much more" in verdicts[3].warnings[0]
    assert verdicts[0].sd == pytest.approx(0.1)


def test_interim_look_is_harder_to_pass_than_the_last():
    early, late = decide([claim(1.0, sd=0.25, n=3)])[0], decide([claim(1.0, sd=0.25, n=8)])[0]
    assert not early.final
    assert early.effect_test.level == pytest.approx(0.00137, abs=1e-5)
    assert late.effect_test.level == pytest.approx(0.0416, abs=1e-4)
    assert (early.label, late.label) == (Label.inconclusive, Label.reproduced)
    assert "adjusted 95 % interval" in early.sentence


def test_claim_at_an_interim_look_depends_on_no_other_claims_success():
    strong = [claim(3.0, name=str(i)) for i in range(3)]
    weak = [claim(0.0, sd=2.0, name=str(i)) for i in range(3)]
    interim = claim(1.0, n=5, sd=0.3, name="interim")
    assert decide([interim, *strong])[0] == decide([interim, *weak])[0]


def test_stopped_claim_keeps_its_verdict_while_others_go_on():
    def others(n):
        return [
            Comparison(
                str(i),
                {seed: 2.0 + math.sin(7 * i + seed) / 5 for seed in range(n)},
                {seed: 1.0 for seed in range(n)},
                paper=1.0,
                pool="baseline",
            )
            for i in range(4)
        ]

    stopped = claim(1.0, sd=0.2, n=3, name="stopped", pool="baseline")
    assert decide([stopped, *others(3)])[0] == decide([stopped, *others(8)])[0]


def test_before_the_first_look_nothing_is_decided():
    (verdict,) = decide([claim(1.0, sd=1e-6, n=2)])
    assert verdict.label is Label.inconclusive
    assert "2 pairs so far, the first look is at 3" in verdict.sentence


def test_one_pair_tells_nothing():
    (verdict,) = decide([claim(1.0, n=1)])
    assert verdict.label is Label.inconclusive
    assert verdict.estimate == pytest.approx(1.0)
    assert verdict.interval is None
    assert "one usable pair" in verdict.sentence


def test_two_pairs_are_enough_if_planned():
    assert decide([claim(1.0, sd=1e-3, n=2, looks=(2,))])[0].label is Label.reproduced


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_equal_differences_alone_decide_nothing(value):
    arm = dict.fromkeys(range(8), 0.5)
    (verdict,) = decide([Comparison("c", dict.fromkeys(range(8), 0.5 + value), arm, paper=0.25)])
    assert verdict.label is Label.inconclusive
    assert verdict.sentence.startswith("inconclusive: all 8 differences are equal")
    assert verdict.paired_t is None


def test_equal_differences_have_the_resolution_of_the_test_set():
    arm = dict.fromkeys(range(8), 0.5)
    without = dict.fromkeys(range(8), 0.75)
    (verdict,) = decide([Comparison("c", without, arm, paper=0.25, resolution=0.001)])
    assert verdict.label is Label.reproduced
    assert verdict.sd == pytest.approx(0.001 / 6**0.5)
    assert verdict.warnings == ("all differences are equal: do the runs differ?",)


def test_diverged_runs_get_a_second_verdict_from_ranks():
    without = {0: 0.31, 1: NAN, 2: 0.32, 3: 0.30, 4: 0.33, 5: 0.31, 6: 0.31, 7: 0.30}
    having = {seed: 0.2 + seed / 1000 for seed in range(8)}
    (verdict,) = decide([Comparison("c", without, having, paper=0.1, diverged_as=0.9)])
    assert verdict.label is Label.inconclusive
    assert verdict.diverged == (1, 0)
    assert verdict.sign_test is not None
    assert (verdict.sign_test.positive, verdict.sign_test.negative) == (8, 0)
    assert verdict.sign_test.p == pytest.approx(2**-7)
    assert "by ranks 8 of 8 pairs agree (p = 0.008)" in verdict.sentence
    assert verdict.warnings[0].startswith("stability differs: 1 of 8")


def test_diverged_run_without_a_measure_decides_nothing():
    comparison = claim(1.0, kind="gap")
    (verdict,) = decide(
        [Comparison("c", {**comparison.without, 0: NAN}, comparison.with_technique, paper=1.0)]
    )
    assert verdict.sentence == "inconclusive: a diverged run has no measure"


FAST = {0: 6.0, 1: 7.0, 2: 6.5, 3: 6.2, 4: 7.5}


def _relu(without, having=FAST, looks=(5,), **fields):
    return Comparison(
        "relu", without, having, kind="time_to_target", budget=50, paper=6.0, looks=looks, **fields
    )


def test_time_to_target():
    (verdict,) = decide([_relu({0: 33.0, 1: 45.0, 2: 38.0, 3: 36.0, 4: 42.0})])
    assert verdict.label is Label.reproduced
    assert verdict.margin == pytest.approx(6**0.5)
    assert verdict.sub_labels == ("strong", "consistent with the paper")
    assert verdict.estimate == pytest.approx(
        math.exp(np.mean(np.log([33 / 6, 45 / 7, 38 / 6.5, 36 / 6.2, 42 / 7.5])))
    )


def test_slow_arm_cut_short_gives_a_lower_bound():
    (verdict,) = decide([_relu({0: 33.0, 1: 40.0, 2: INF, 3: 36.0, 4: INF})])
    assert verdict.label is Label.reproduced
    assert verdict.bound == "at least"
    assert verdict.interval is not None
    assert verdict.interval.high == INF
    assert verdict.sentence.startswith("reproduced: at least ")
    assert json.loads(json.dumps(verdict.to_dict(), allow_nan=False))["interval"]["high"] is None


def test_fast_arm_cut_short_gives_an_upper_bound():
    slow = {0: 20.0, 1: 21.0, 2: 19.0, 3: 20.0, 4: 22.0}
    (verdict,) = decide([_relu(slow, {0: 40.0, 1: INF, 2: 45.0, 3: 43.0, 4: 48.0})])
    assert (verdict.label, verdict.bound) == (Label.opposite, "at most")


def test_target_missed_by_both_arms_in_most_pairs():
    (verdict,) = decide([_relu(dict.fromkeys(range(5), INF), {**FAST, 0: INF, 1: INF, 2: INF})])
    assert verdict.sentence == ("inconclusive: target not reached by either arm in 3 of 5 pairs")


def test_undecided_claim_says_what_it_needs():
    (verdict,) = decide([claim(0.4, sd=0.8)])
    assert verdict.outlook is not None
    assert verdict.outlook.chance >= 0.8
    assert f"about {verdict.outlook.more} more seeds would decide" in verdict.sentence


def test_new_images_are_a_wider_scope():
    here = claim(0.01, sd=0.002, paper=0.014, unit="points", image_variance=0.0035**2)
    (verdict,) = decide([here])
    assert verdict.label is Label.reproduced
    assert verdict.interval is not None
    assert verdict.new_images is not None
    assert verdict.new_images.interval.low < verdict.interval.low
    wide = decide([claim(0.01, sd=0.002, paper=0.014, image_variance=0.01**2)])[0]
    assert wide.new_images is not None
    assert wide.new_images.label is Label.inconclusive


def test_anytime_uses_every_pair_and_no_pool():
    claims = [claim(1.0, n=7, name=str(i), pool="baseline") for i in range(2)]
    for verdict in decide(claims, Rule(stopping="anytime")):
        assert (verdict.n, verdict.df, verdict.final) == (7, 6.0, False)
        assert verdict.label is Label.reproduced


def test_anytime_has_no_interval_while_pairs_are_too_few():
    (verdict,) = decide([claim(1.0, n=3)], Rule(stopping="anytime"))
    assert verdict.label is Label.inconclusive
    assert "(too few pairs for an interval)" in verdict.sentence


def test_verdict_is_plain_data():
    for verdict in decide([claim(1.0), claim(0.4, sd=0.8, name="b"), claim(0.0, n=1, name="c")]):
        plain = verdict.to_dict()
        assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_order_of_claims_does_not_matter():
    claims = [claim(effect, name=str(effect), pool="p") for effect in (1.0, 0.4, 0.0)]
    for verdict, again in zip(decide(claims), decide(claims[::-1])[::-1], strict=True):
        assert verdict.sentence == again.sentence
        assert verdict.effect_test.p_adjusted == pytest.approx(again.effect_test.p_adjusted)


def test_no_claims_no_verdicts():
    assert decide([]) == []


@pytest.mark.slow
def test_simulated_true_nulls_rarely_show_an_effect():
    rng = np.random.default_rng(6)
    false = 0
    for _ in range(200):
        base = rng.standard_normal(5)
        claims = [
            Comparison(
                str(i),
                dict(enumerate(rng.standard_normal(5))),
                dict(enumerate(base)),
                paper=3.0,
                pool="p",
                looks=(5,),
            )
            for i in range(6)
        ]
        labels = {verdict.label for verdict in decide(claims)}
        false += bool(labels & {Label.reproduced, Label.direction_only, Label.opposite})
    assert false / 200 <= 0.05
