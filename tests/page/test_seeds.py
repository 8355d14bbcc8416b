from dataclasses import replace

import pytest
from records import make_result

from ablations.page.evidence import gather
from ablations.page.seeds import curves, points


@pytest.fixture
def found(study):
    evidence = gather(study.path)
    findings = {f.result.claim: f for f in evidence.chapters[0].findings}
    return findings, evidence.runs


def test_points_say_how_many_pairs_agree(found):
    drawing = points(found[0]["lrn_lowers_error"])
    assert "5 of 5 pairs point in the paper's direction" in drawing.description
    assert [row[0] for row in drawing.rows] == ["100", "101", "102", "103", "104"]


def test_each_part_has_points_of_its_own(found):
    finding = found[0]["each_middle_convolution_matters"]
    drawings = [points(finding, part) for part in ("conv3", "conv4")]
    assert drawings[0].key == "small-each-middle-convolution-matters-conv3-points"
    assert drawings[1].title == "Each middle convolution matters: conv4: every seed"


def test_a_target_that_was_not_reached_is_written_into_the_picture(found):
    drawing = points(found[0]["relu_trains_faster_than_tanh"])
    assert "1 not reached" in drawing.wide
    assert drawing.rows[4][1] == "not reached"


def test_without_values_there_is_no_picture(found):
    assert points(found[0]["crops_and_flips_curb_overfitting"]) is None


def test_only_a_timed_claim_has_a_target(found):
    findings, runs = found
    train, val = (d.wide for d in curves(findings["relu_trains_faster_than_tanh"], runs))
    assert "target 25 %" in train
    assert "target" not in val
    assert not any("target" in d.wide for d in curves(findings["lrn_lowers_error"], runs))
    assert curves(findings["two_towers_beat_half_the_kernels"], runs) == []


def test_steps_to_a_loss_are_shown_on_the_loss_by_steps(found):
    findings, runs = found
    result = findings["relu_trains_faster_than_tanh"].result
    measure = {**result.measure, "of": "steps_to_loss"}
    finding = replace(
        findings["relu_trains_faster_than_tanh"],
        result=replace(result, measure=measure, target=1.8),
    )
    train, val = curves(finding, runs)
    assert "target 1.8 nats" in train.wide
    assert [row[0] for row in train.rows] == ["10", "20", "30"]
    assert train.rows[0][1:] == ("2.30", "2.30")
    assert "target" not in val.wide


def test_without_validation_images_there_is_no_validation_curve(folder):
    record = folder.add(0.25, 100)
    curve = [replace(point, val=None) for point in record.curve]
    record = folder.add(0.25, 100, curve=curve)
    folder.study(make_result("a", {"": ([0.3], [0.2])}, runs={"with": [record]}))
    evidence = gather(folder.path)
    (drawing,) = curves(evidence.chapters[0].findings[0], evidence.runs)
    assert "online training" in drawing.title
