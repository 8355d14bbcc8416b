from dataclasses import replace
from math import log

import pytest
from records import make_result

from ablations.page.evidence import gather
from ablations.page.findings import Finding


@pytest.fixture
def findings(study):
    chapter = gather(study.path).chapters[0]
    return {finding.result.claim: finding for finding in chapter.findings}


def changed(finding: Finding, **changes) -> Finding:
    return replace(finding, result=replace(finding.result, **changes))


def test_a_row_has_the_papers_figure_ours_with_its_interval_and_the_points(findings):
    (row, top5) = findings["lrn_lowers_error"].rows
    assert row.paper == "1.034× (other data)"
    assert row.ours.startswith("1.120× [1.113, 1.")
    assert row.points.startswith("+3.")
    assert (row.word, row.n) == ("holds here", 5)
    assert top5.name == "top-5, secondary"
    assert top5.paper == "1.061× (other data)"


def test_at_the_papers_setting_there_is_no_other_data(findings):
    finding = changed(findings["lrn_lowers_error"], at_paper=True)
    assert finding.rows[0].paper == "1.034×"
    assert finding.word == "reproduced"


def test_each_part_has_a_row_with_its_own_label(findings):
    whole, conv3, conv4 = findings["each_middle_convolution_matters"].rows
    assert (whole.ours, whole.points, whole.word) == ("–", "", "direction holds here")
    assert (conv3.name, conv3.word) == ("conv3", "holds here")
    assert (conv4.name, conv4.word) == ("conv4", "direction holds here")
    assert conv4.points.startswith("+0.")


def test_a_gap_is_in_percent_of_the_test_error_which_also_has_to_fall(findings):
    whole, gap, test_error = findings["dropout_curbs_overfitting"].rows
    assert (whole.word, whole.paper) == ("opposite here", "no figure")
    assert gap.ours.startswith("−29")
    assert "% of the test error" in gap.ours
    assert (gap.axis, test_error.axis) == ("% of the test error", "errors")
    assert test_error.ours.startswith("1.05")


def test_a_time_that_was_cut_short_has_an_open_interval(findings):
    row = findings["relu_trains_faster_than_tanh"].rows[0]
    assert row.ours.endswith(", ∞]")
    assert row.ends[1] == float("inf")
    assert (row.axis, row.points) == ("times", "")


@pytest.mark.parametrize(
    ("measure", "text", "scale"),
    [
        ({"of": "test_error"}, "test top-1 error, %", 100),
        ({"of": "gap"}, "test minus training top-1 error, points", 100),
        ({"of": "epochs_to_error", "target": 0.25}, "epochs to 25 % online training error", 1),
        ({"of": "steps_to_loss", "target": 1.8}, "steps to a training loss of 1.8 nats", 1),
        ({"of": "color"}, "difference of the towers' mean color, points", 100),
        ({"of": "neighbors"}, "nearest neighbors of the same class, %", 100),
    ],
)
def test_measures_in_words(folder, measure, text, scale):
    folder.study(make_result("a", {"": ([2.0, 3.0], [1.0, 1.0])}, measure=measure))
    (finding,) = gather(folder.path).chapters[0].findings
    assert (finding.measure, finding.value_scale) == (text, scale)


def test_they_follow_the_sections_of_the_paper(findings):
    sections = [finding.result.section for finding in findings.values()]
    assert sections == [
        "3.1, Figure 1",
        "3.2",
        "3.3",
        "3.4",
        "3.5, 7",
        "4.1",
        "4.1, crops",
        "4.2",
        "6",
        "extension",
        "control",
    ]


def test_an_undecided_claim_says_what_its_pairs_can_resolve_and_how_many_would_decide(findings):
    notes = findings["overlap_pooling_lowers_error"].notes
    assert notes[0].startswith("These pairs can resolve effects from 1.1")
    assert any("more pairs would decide at the present estimate" in note for note in notes)


def test_warnings_of_the_study_and_of_its_plan_are_notes(findings):
    notes = findings["overlap_pooling_lowers_error"].notes
    assert "Not resolvable by this study: P(holds) is below 0.5 at 2Δ." in notes
    assert notes[-1].endswith("the best recipe.lr=0.04 is on the edge of its grid.")
    assert not any("resolvable" in note for note in findings["lrn_lowers_error"].notes)


def test_the_reason_of_a_label_is_a_note_unless_the_gate_says_it(findings):
    towers, crops = (
        findings[name]
        for name in ("two_towers_beat_half_the_kernels", "crops_and_flips_curb_overfitting")
    )
    assert towers.notes == ["2 pairs so far, the first look is at 3."]
    assert crops.word == "not testable here"
    assert [check.part for check in crops.failed] == ["trained out"]
    assert crops.notes == []
    assert changed(crops, checks=[]).notes == ["Trained out: changes by −27.3%."]


def test_the_plan_has_margin_looks_power_and_error_rate(findings):
    plan = dict(findings["lrn_lowers_error"].plan)
    assert plan["Margin"] == "1.017×: half of the paper's effect"
    assert plan["Looks planned"] == "3, 5 and 8 pairs"
    assert plan["Looks taken"].startswith("Looked at 3 and 5 pairs; earlier study of the same")
    assert plan["P(holds)"] == "0.31 at Δ = 1.034×, 0.92 at 2Δ"
    assert plan["Error rate"] == "5 %, shared by 4 claims"
    plan = dict(findings["relu_trains_faster_than_tanh"].plan)
    assert plan["Looks taken"] == "None yet."
    assert plan["P(holds)"] == "unknown: no spread to plan with"
    assert "undecided" in dict(findings["placebo_changes_nothing"].plan)["Control"]


def test_the_papers_effect_is_twice_the_margin_where_it_gives_no_figure(findings):
    finding = changed(findings["lrn_lowers_error"], effect=None, margin=log(1.1), chance=[0.1, 0.6])
    assert dict(finding.plan)["P(holds)"] == "0.10 at Δ = 1.21×, 0.60 at 2Δ"


def test_the_numbers_have_the_arms_with_their_rates_and_scores(findings):
    numbers = dict(findings["lrn_lowers_error"].numbers)
    assert numbers["Arm without"] == (
        "norm=none; chosen: recipe.lr=0.01; validation top-1 error, % of each value: "
        "0.005: 31, 0.01: 29, 0.02: 30"
    )
    assert "conv3, arm with" in dict(findings["each_middle_convolution_matters"].numbers)
    timed = dict(findings["relu_trains_faster_than_tanh"].numbers)["Arm with"]
    assert "epochs to 25 % online training error of each value: 0.005: 0.31" in timed
