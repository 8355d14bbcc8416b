from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablations.stats.intervals import critical
from ablations.stats.labels import Comparison, Label, classify, decide, joint
from ablations.stats.looks import nominal_levels

NOISE = (0.03, -0.02, 0.01, -0.04, 0.02, 0.0, -0.01, 0.01, 0.02, -0.02)
LOOKS = (3, 5, 8)


def comparison(effect, n=8, spread=1.0, **changes):
    """Pairs around an effect; the standard deviation is about 0.02 times ``spread``."""
    differences = {100 + i: effect + spread * NOISE[i] for i in range(n)}
    return Comparison(**{"claim": "c", "differences": differences, "margin": 0.1} | changes)


def verdict(effect, claims=1, **changes):
    return decide([comparison(effect, **changes)], claims)[0]


# The rule


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
    ("effect", "spread", "n", "label", "decided"),
    [
        (0.2, 1.0, 5, Label.holds, True),
        (0.1, 1.0, 8, Label.direction, False),  # might still hold
        (0.05, 1.0, 8, Label.direction, True),  # smaller than the margin
        (0.0, 1.0, 8, Label.no_effect, True),
        (-0.2, 1.0, 8, Label.opposite, True),
        (0.05, 10.0, 8, Label.undecided, False),
    ],
)
def test_planted_effects_get_their_label_and_stop_when_no_pair_can_change_it(
    effect, spread, n, label, decided
):
    found = verdict(effect, spread=spread, n=n)
    assert (found.label, found.decided) == (label, decided)


def test_the_interval_is_that_of_the_paired_t_at_the_level_of_the_look():
    found = verdict(0.2, claims=4)
    level = nominal_levels(LOOKS, 0.05 / 4)[-1]
    paired = stats.ttest_1samp(list(comparison(0.2).differences.values()), 0)
    assert found.level == pytest.approx(level)
    assert (found.low, found.high) == pytest.approx(tuple(paired.confidence_interval(1 - level)))
    inner = paired.confidence_interval(1 - 2 * level)
    assert (found.inner_low, found.inner_high) == pytest.approx(tuple(inner))
    # An earlier study halves the error rate, as another claim does.
    assert verdict(0.2, claims=2, alpha=0.025).level == pytest.approx(level)


@pytest.mark.parametrize("n", range(3, 11))
def test_pairs_between_two_looks_wait_and_a_cap_turns_no_look_into_the_last(n):
    found = verdict(0.2, n=n)
    look = sum(n >= pairs for pairs in LOOKS) - 1
    assert found == verdict(0.2, n=LOOKS[look])
    assert found.level == pytest.approx(nominal_levels(LOOKS, 0.05)[look])
    assert found.final is (n >= 8)


@pytest.mark.parametrize(
    ("effect", "spread"), [(0.2, 1.0), (0.12, 3.0), (0.05, 1.0), (0.0, 1.0), (-0.2, 1.0)]
)
def test_no_label_improves_because_unrelated_claims_were_added(effect, spread):
    order = [Label.holds, Label.direction, Label.undecided]
    for n in LOOKS:
        labels = [verdict(effect, claims, n=n, spread=spread).label for claims in (1, 3, 9, 13, 50)]
        ranks = [order.index(label) if label in order else -1 for label in labels]
        assert len(set(labels) - {Label.undecided}) <= 2
        assert ranks == sorted(ranks)


# Pools


def test_a_claim_that_goes_on_does_not_change_the_verdict_of_one_that_stopped():
    stopped = comparison(0.2, n=3, pool="a")
    first, *later = (
        decide([stopped, comparison(0.05, n=n, pool="a", claim="d")], 2)[0] for n in LOOKS
    )
    assert later == [first, first]


# Incomplete, not testable, open, undecided


def test_equal_differences_are_incomplete():
    (found,) = decide([Comparison("c", dict.fromkeys(range(5), 0.3), 0.1)], 1)
    assert found.label is Label.incomplete
    assert "equal" in found.reason


@pytest.mark.parametrize("n", [0, 2])
def test_before_the_first_look_a_claim_is_incomplete(n):
    found = verdict(0.2, n=n)
    assert (found.label, found.estimate) == (Label.incomplete, None)
    assert found.reason == f"{n} pairs so far, the first look is at 3"


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


def test_an_undecided_claim_says_what_it_can_resolve_and_what_would_decide():
    wide = comparison(0.3, spread=25.0)
    (found,) = decide([wide], 1)
    assert found.label is Label.undecided
    power = stats.t.ppf(0.8, found.df) * found.sd / 8**0.5
    assert found.resolvable == pytest.approx(found.estimate - found.low + power)
    assert found.more
    many = {i: wide.used[i % 8] for i in range(8 + 2 * found.more)}
    later = replace(wide, differences=many, looks=(len(many),))
    assert decide([later], 1)[0].label is not Label.undecided


# Joint claims


@pytest.mark.parametrize(
    ("first", "second", "label"),
    [
        ({"effect": 0.2}, {"effect": 0.3}, Label.holds),
        ({"effect": 0.2}, {"effect": 0.1}, Label.direction),
        ({"effect": 0.0}, {"effect": -0.2}, Label.opposite),
        ({"effect": 0.2}, {"effect": 0.2, "spread": 20.0}, Label.undecided),
        ({"effect": 0.2}, {"effect": 0.2, "n": 0}, Label.incomplete),
    ],
)
def test_a_joint_claim_is_opposite_if_any_part_is_and_else_like_its_weakest_part(
    first, second, label
):
    verdicts = decide([comparison(part="a", **first), comparison(part="b", **second)], 1)
    assert joint(verdicts) is label


def test_the_parts_of_a_joint_claim_share_its_level():
    first, _ = decide([comparison(0.2, part="a"), comparison(0.3, part="b")], 3)
    assert first.level == pytest.approx(verdict(0.2, claims=3).level)
    reach = critical(first.level / 2, first.df) * first.sd / np.sqrt(8)
    assert first.high - first.estimate == pytest.approx(reach)
    assert first.estimate - first.low == pytest.approx(reach)
