from dataclasses import replace
from math import isclose, log

import numpy as np
import pytest
from scipy import stats

from ablations.stats.intervals import critical
from ablations.stats.labels import Comparison, Label, classify, decide, joint
from ablations.stats.looks import nominal_levels

NOISE = (0.03, -0.02, 0.01, -0.04, 0.02, 0.0, -0.01, 0.01, 0.02, -0.02)


def comparison(effect, n=8, spread=1.0, **changes):
    """Pairs around an effect; the standard deviation is about 0.02 times ``spread``."""
    differences = {100 + i: effect + spread * NOISE[i] for i in range(n)}
    return Comparison(**{"claim": "c", "differences": differences, "margin": 0.1} | changes)


def verdict(effect, claims=1, **changes):
    return decide([comparison(effect, **changes)], claims)[0]


@pytest.mark.parametrize(
    ("ends", "label", "reason"),
    [
        # low, high, inner low, inner high; the margin is 1.
        ((1.0, 3.0, 1.1, 2.9), Label.holds, ""),
        ((0.9, 3.0, 1.1, 2.9), Label.direction, ""),
        ((0.1, 0.9, 0.2, 0.8), Label.direction, "smaller than the margin"),
        ((-3.0, -1.5, -2.9, -1.6), Label.opposite, ""),
        ((-0.9, -0.1, -0.8, -0.2), Label.opposite, "smaller than the margin"),
        ((-1.1, 0.5, -0.9, 0.4), Label.no_effect, ""),
        ((-1.1, 1.1, -0.9, 1.0), Label.undecided, ""),
        ((-5.0, 5.0, -4.0, 4.0), Label.undecided, ""),
    ],
)
def test_every_row_of_the_rule(ends, label, reason):
    assert classify(*ends, margin=1.0) == (label, reason)


@pytest.mark.parametrize(
    ("effect", "spread", "label"),
    [
        (0.2, 1.0, Label.holds),
        (0.1, 1.0, Label.direction),
        (0.05, 1.0, Label.direction),
        (0.0, 1.0, Label.no_effect),
        (-0.2, 1.0, Label.opposite),
        (0.05, 10.0, Label.undecided),
    ],
)
def test_planted_effects_get_their_label(effect, spread, label):
    assert verdict(effect, spread=spread).label is label


def test_the_interval_is_that_of_the_paired_t_at_the_level_of_the_look():
    found = verdict(0.2, claims=4)
    level = nominal_levels((3, 5, 8), 0.05 / 4)[-1]
    differences = np.array(list(comparison(0.2).differences.values()))
    low, high = stats.ttest_1samp(differences, 0).confidence_interval(1 - level)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.level == pytest.approx(level)
    inner = stats.ttest_1samp(differences, 0).confidence_interval(1 - 2 * level)
    assert (found.inner_low, found.inner_high) == pytest.approx(tuple(inner))


def test_pairs_between_two_looks_wait_for_the_next_one():
    five, seven = verdict(0.2, n=5), verdict(0.2, n=7)
    assert (five.n, seven.n) == (5, 5)
    assert five == seven
    assert not five.final
    assert verdict(0.2, n=10).n == 8


@pytest.mark.parametrize("n", range(3, 9))
def test_a_cap_on_the_pairs_never_turns_a_look_into_the_last(n):
    found = verdict(0.2, n=n)
    looks = (3, 5, 8)
    look = sum(n >= pairs for pairs in looks) - 1
    assert found.level == pytest.approx(nominal_levels(looks, 0.05)[look])


@pytest.mark.parametrize(
    ("effect", "spread"), [(0.2, 1.0), (0.12, 3.0), (0.05, 1.0), (0.0, 1.0), (-0.2, 1.0)]
)
def test_no_label_improves_because_unrelated_claims_were_added(effect, spread):
    order = [Label.holds, Label.direction, Label.undecided]
    for n in (3, 5, 8):
        labels = [verdict(effect, claims, n=n, spread=spread).label for claims in (1, 3, 9, 13, 50)]
        ranks = [order.index(label) if label in order else -1 for label in labels]
        decided = [label for label in labels if label is not Label.undecided]
        assert len(set(decided)) <= 2
        assert ranks == sorted(ranks)


def test_no_label_improves_because_the_interval_is_wide():
    # An estimate below the margin, ever wider intervals: never more than the direction.
    for spread in (0.1, 1, 3, 10, 100):
        assert verdict(0.08, spread=spread).label in (Label.direction, Label.undecided)


def test_claims_with_another_baseline_change_no_verdict():
    alone = decide([comparison(0.2, pool="a")], 3)
    others = [comparison(0.5, claim="d", pool="b", spread=9.0), comparison(-1, claim="e")]
    assert decide([comparison(0.2, pool="a"), *others], 3)[0] == alone[0]


def test_claims_of_one_pool_lend_each_other_degrees_of_freedom():
    one, other = comparison(0.2, pool="a"), comparison(0.1, pool="a", claim="d")
    alone, together = decide([one], 2)[0], decide([one, other], 2)[0]
    assert together.df > alone.df
    assert together.sd >= together.own_sd


def test_a_claim_that_goes_on_does_not_change_the_verdict_of_one_that_stopped():
    stopped = comparison(0.2, n=3, pool="a")
    verdicts = [
        decide([stopped, comparison(0.05, n=n, pool="a", claim="d")], 2)[0] for n in (3, 5, 8)
    ]
    assert verdicts[0] == verdicts[1] == verdicts[2]


def test_an_earlier_study_halves_the_error_rate():
    assert verdict(0.2, alpha=0.025).level == pytest.approx(verdict(0.2, claims=2).level)


@pytest.mark.parametrize("margin", [0.1, 10.0])
def test_equal_differences_are_incomplete(margin):
    same = Comparison("c", dict.fromkeys(range(5), 0.3), margin)
    (found,) = decide([same], 1)
    assert found.label is Label.incomplete
    assert "equal" in found.reason


@pytest.mark.parametrize(
    ("n", "reason"), [(0, "no pairs"), (1, "first look is at 3"), (2, "2 pairs")]
)
def test_before_the_first_look_a_claim_is_incomplete(n, reason):
    found = verdict(0.2, n=n)
    assert found.label is Label.incomplete
    assert reason in found.reason


def test_a_missing_run_comes_before_the_gate_and_the_gate_before_everything_else():
    found = verdict(0.2, missing="a run failed", obstacle="not trained out")
    assert (found.label, found.reason) == (Label.incomplete, "a run failed")
    found = verdict(0.2, obstacle="not trained out")
    assert (found.label, found.reason) == (Label.not_testable, "not trained out")
    assert found.estimate is not None
    # A claim whose gate failed trains no pairs.
    assert verdict(0.2, n=0, obstacle="not trained out").label is Label.not_testable


def test_a_time_that_was_cut_short_leaves_one_end_open():
    found = verdict(0.2, high_holds=False)
    assert (found.label, found.high) == (Label.holds, None)
    found = verdict(0.2, low_holds=False)
    assert (found.label, found.low) == (Label.undecided, None)


def test_only_labels_that_more_pairs_cannot_change_stop_a_claim():
    assert verdict(0.2, n=5).decided
    assert verdict(0.0, n=8).decided
    assert not verdict(0.1, n=8).decided  # might still hold
    assert verdict(0.05, n=8).decided  # smaller than the margin
    assert not verdict(0.05, spread=10.0).decided


def test_an_undecided_claim_says_what_it_can_resolve_and_what_would_decide():
    found = verdict(0.3, spread=25.0)
    assert found.label is Label.undecided
    reach = found.estimate - found.low
    power = stats.t.ppf(0.8, found.df) * found.sd / 8**0.5
    assert found.resolvable == pytest.approx(reach + power)
    assert found.more
    more = comparison(0.3, spread=25.0)
    many = {i: more.used[i % 8] for i in range(8 + 2 * found.more)}
    later = replace(more, differences=many, looks=(len(many),))
    assert decide([later], 1)[0].label is not Label.undecided


# Joint claims


def part(effect, name, **changes):
    return comparison(effect, part=name, **changes)


@pytest.mark.parametrize(
    ("effects", "label"),
    [
        ((0.2, 0.3), Label.holds),
        ((0.2, 0.1), Label.direction),
        ((0.2, -0.2), Label.opposite),
        ((0.2, 0.0), Label.no_effect),
        ((-0.2, 0.0), Label.opposite),
    ],
)
def test_a_joint_claim_holds_if_all_parts_do_and_is_opposite_if_any_is(effects, label):
    verdicts = decide([part(effect, str(i)) for i, effect in enumerate(effects)], 1)
    assert joint(verdicts) is label


def test_a_joint_claim_has_the_label_of_its_weakest_part():
    wide = part(0.2, "b", spread=20.0)
    assert joint(decide([part(0.2, "a"), wide], 1)) is Label.undecided
    failed = part(0.2, "b", obstacle="not trained out")
    assert joint(decide([part(0.2, "a"), failed], 1)) is Label.not_testable
    assert joint(decide([part(0.2, "a"), part(0.2, "b", n=0)], 1)) is Label.incomplete


def test_the_parts_of_a_joint_claim_share_its_level():
    first, _ = decide([part(0.2, "a"), part(0.3, "b")], 3)
    assert isclose(first.level, decide([part(0.2, "a")], 3)[0].level)
    reach = critical(first.level / 2, first.df) * first.sd / 8**0.5
    assert first.high - first.estimate == pytest.approx(reach)
    assert first.estimate - first.low == pytest.approx(reach)


def test_words_speak_of_the_paper_only_at_its_own_setting():
    assert [label.word(at_paper=False) for label in Label] == [label.value for label in Label]
    at_paper = {label: label.word(at_paper=True) for label in Label}
    assert at_paper[Label.holds] == "reproduced"
    assert at_paper[Label.opposite] == "contradicted"
    elsewhere = " ".join(label.word(at_paper=False) for label in Label)
    assert "reproduced" not in elsewhere
    assert "contradicted" not in elsewhere


def test_a_margin_on_ratios_means_the_same_at_every_error():
    # LRN: 42.03 to 40.66 %, a ratio of 1.034; at 15 % error it is the same ratio.
    high = {i: log(0.4203 / 0.4066) + e / 100 for i, e in enumerate(NOISE[:8])}
    low = {i: log(0.1551 / 0.15) + e / 100 for i, e in enumerate(NOISE[:8])}
    labels = {
        decide([Comparison("c", pairs, log(0.4203 / 0.4066) / 2)], 1)[0].label
        for pairs in (high, low)
    }
    assert labels == {Label.holds}
