import math

import numpy as np
import pytest

from ablations.stats.interval import Interval
from ablations.stats.pairs import Comparison
from ablations.stats.verdict import ArmSummary, Label, classify, describe

MARGIN, PAPER = 0.7, 1.4


@pytest.mark.parametrize(
    ("interval", "negligible", "label", "sub_labels"),
    [
        ((0.9, 1.7), (1.0, 1.6), Label.reproduced, ("strong", "consistent with the paper")),
        ((0.1, 1.5), (0.2, 1.4), Label.reproduced, ("consistent with the paper",)),
        ((0.1, 1.1), (0.2, 1.0), Label.reproduced, ("weaker than the paper",)),
        ((0.8, 1.1), (0.9, 1.0), Label.reproduced, ("strong", "weaker than the paper")),
        ((1.5, 1.9), (1.6, 1.8), Label.reproduced, ("strong", "stronger than the paper")),
        ((0.1, 0.8), (0.2, 0.6), Label.direction_only, ()),
        ((-0.9, -0.1), (-0.8, -0.2), Label.opposite, ()),
        ((-0.4, -0.1), (-0.3, -0.2), Label.opposite, ()),
        ((-0.7, 0.7), (-0.6, 0.6), Label.negligible, ()),
        ((-0.8, 0.8), (-0.7, 0.7), Label.inconclusive, ()),
        ((-0.2, 1.6), (0.1, 1.4), Label.inconclusive, ()),
        ((0.0, 1.6), (0.1, 1.4), Label.inconclusive, ()),
        (
            (0.9, math.inf),
            (1.0, math.inf),
            Label.reproduced,
            ("strong", "consistent with the paper"),
        ),
        ((-math.inf, 0.5), (-math.inf, 0.4), Label.inconclusive, ()),
        ((-math.inf, -0.5), (-math.inf, -0.6), Label.opposite, ()),
    ],
)
def test_each_row_of_the_table(interval, negligible, label, sub_labels):
    verdict = classify(Interval(*interval, 0.05), Interval(*negligible, 0.1), MARGIN, PAPER)
    assert verdict == (label, sub_labels)


def test_without_a_figure_of_the_paper_only_the_margin_counts():
    verdict = classify(Interval(0.9, 1.7, 0.05), Interval(1.0, 1.6, 0.1), MARGIN, None)
    assert verdict == (Label.reproduced, ("strong",))


POINTS = Comparison("c", {}, {}, paper=0.014)
TIMES = Comparison("c", {}, {}, kind="time_to_target", budget=50, paper=6.0)
NATS = Comparison("c", {}, {}, margin=0.1, unit="nats")


@pytest.mark.parametrize(
    ("claim", "estimate", "ends", "level", "text"),
    [
        (POINTS, 0.013, (0.009, 0.017), 0.05, "1.3 points (95 % interval 0.9 to 1.7)"),
        (POINTS, 0.013, (0.009, 0.017), 0.01, "1.3 points (adjusted 95 % interval 0.9 to 1.7)"),
        (POINTS, 0.0131, (0.0127, 0.0135), 0.05, "1.31 points (95 % interval 1.27 to 1.35)"),
        (TIMES, 4.9, (3.8, 6.3), 0.05, "4.9 times (95 % interval 3.8 to 6.3)"),
        (NATS, 0.25, (0.05, 0.45), 0.05, "0.2 nats (95 % interval 0.1 to 0.5)"),
    ],
)
def test_effects_in_words(claim, estimate, ends, level, text):
    described = describe(claim, estimate, Interval(*ends, level), "", 0.05)
    assert described.removesuffix("; the paper: 1.4").removesuffix("; the paper: 6") == text
    assert ("the paper" in described) == (claim.paper is not None)


@pytest.mark.parametrize(
    ("ends", "bound", "text"),
    [
        ((3.8, math.inf), "at least", "at least 3.8 times (95 % bound; restricted mean 4.9)"),
        ((0.0, 6.3), "at most", "at most 6.3 times (95 % bound; restricted mean 4.9)"),
        ((0.0, math.inf), "restricted", "4.9 times (restricted mean, no interval)"),
    ],
)
def test_bounds_in_words(ends, bound, text):
    described = describe(TIMES, 4.9, Interval(*ends, 0.05), bound, 0.05)
    assert described == f"{text}; the paper: 6"


def test_arm_without_runs_has_no_mean():
    arm = ArmSummary.of(np.array([]))
    assert math.isnan(arm.mean)
    assert math.isnan(arm.sd)


def test_arm_with_one_run_has_no_spread():
    arm = ArmSummary.of(np.array([0.4]))
    assert arm.mean == 0.4
    assert math.isnan(arm.sd)
