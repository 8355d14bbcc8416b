"""A claim's rows, warnings, plan and label."""

from dataclasses import replace

import pytest
from records import make_result

from ablations.reporting.claims import details_of, plan_of, rows_of, warnings_of
from ablations.reporting.evidence import gather
from ablations.reporting.labels import ICONS, RULES, icon
from ablations.stats.labels import Label

RESULT = make_result("a", {"": ([0.3, 0.31, 0.3], [0.2, 0.21, 0.2])})


@pytest.fixture
def results(written):
    return {result.claim: result for result in gather(written).sections[0].results}


# Rows


def test_a_row_has_the_papers_figure_ours_with_its_interval_and_the_points(results):
    (row, top5) = rows_of(results["lrn_lowers_error"])
    assert row.paper_and_place == "1.034× (other data or network)"
    assert row.ours.startswith("1.120× [1.113, 1.")
    assert row.points.startswith("+3.")
    assert (row.result.word, row.result.n) == ("holds here", 5)
    assert (top5.level, top5.paper_and_place) == ("secondary", "1.061× (other data or network)")


def test_each_part_has_a_row_with_its_own_label(results):
    whole, conv3, conv4 = rows_of(results["each_middle_convolution_matters"])
    assert (whole.ours, whole.points, whole.result.word) == ("–", "", "direction holds here")
    assert (conv3.name, conv3.result.word) == ("conv3", "holds here")
    assert (conv4.name, conv4.result.word) == ("conv4", "direction holds here")


def test_a_gap_is_in_percent_of_the_test_error_which_also_has_to_fall(results):
    whole, gap, test_error = rows_of(results["dropout_curbs_overfitting"])
    assert (whole.result.word, whole.paper) == ("opposite here", "no figure")
    assert gap.ours.startswith("−29")
    assert "% of the test error" in gap.ours
    assert test_error.ours.startswith("1.05")


def test_an_extreme_ratio_has_no_false_digits():
    result = make_result("a", {"": ([0.3, 0.31], [0.1, 0.3])}, looks=(2,), claims=1)
    (row,) = rows_of(result)
    assert row.ours.endswith("× [<0.1, >100]")
    assert "80 % power: >100×" in " ".join(warnings_of(result))


# Warnings, plan and details


def test_what_qualifies_a_label_is_a_warning(results):
    assert warnings_of(results["lrn_lowers_error"]) == []
    found = " ".join(warnings_of(results["overlap_pooling_lowers_error"]))
    for text in ("80 % power: 1.1", "more pairs would decide", "edge of its grid", "resolvable by"):
        assert text in found


def test_the_reason_of_a_label_is_a_warning_unless_the_gate_gives_it(results):
    crops = results["crops_and_flips_curb_overfitting"]
    assert warnings_of(crops) == []
    assert warnings_of(replace(crops, checks=[])) == ["Trained out: changes by −27.3%."]


def test_the_plan_has_margin_looks_power_and_error_rate(results):
    plan = dict(plan_of(results["lrn_lowers_error"]))
    assert plan["Margin"] == "1.017×: half of the paper's effect"
    assert plan["Looks planned"] == "3, 5 and 8 pairs"
    assert plan["P(holds)"] == "0.31 at Δ = 1.034×, 0.92 at 2Δ"
    assert plan["Error rate"] == "5 %, shared by 4 claims"


def test_the_details_have_the_arms_with_their_rates_and_scores(results):
    arm = dict(details_of(results["lrn_lowers_error"], 2))["Arm without"]
    assert arm.startswith("norm=none; chosen: recipe.lr=0.01; validation top-1 error, %")
    assert arm.endswith(": 31.00 at 0.005, 29.00 at 0.01, 30.00 at 0.02")
    timed = dict(details_of(results["relu_trains_faster_than_tanh"], 2))["Arm with"]
    assert "training error (the run's length if not reached): 0.31 at 0.005" in timed


# Labels


def labeled(*labels: Label, **changes):
    return [replace(RESULT, label=label.value, **changes) for label in labels]


def test_every_label_has_a_rule_and_an_icon_of_its_own():
    assert set(RULES) == set(Label)
    icons = [icon(result) for result in labeled(*Label)]
    assert len(set(icons)) == len(icons)
    assert set(icons) < set(ICONS)


@pytest.mark.parametrize(
    ("label", "found"),
    [
        (Label.no_effect, ("expected", "as expected")),
        (Label.undecided, ("undecided", "undecided")),
        (Label.opposite, ("false-alarm", "false alarm")),
    ],
)
def test_a_decided_control_is_as_expected_or_a_false_alarm(label, found):
    (control,) = labeled(label, family="control")
    assert (icon(control), control.word) == found
