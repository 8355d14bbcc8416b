import json
from dataclasses import replace

import pytest

from ablations.page.evidence import gather


@pytest.fixture
def findings(study):
    chapter = gather(study.path).chapters[0]
    return {finding.result.claim: finding for finding in chapter.findings}


def test_points_are_hundredths(findings):
    finding = findings["two_towers_beat_half_the_kernels"]
    assert (finding.theirs, finding.margin, finding.suffix) == ("6 points", 3.0, " points")
    assert finding.figure(1.0) == "1 point"


def test_a_time_that_was_cut_short_is_a_bound(findings):
    finding = findings["relu_trains_faster_than_tanh"]
    low, high = finding.interval
    assert finding.ours == f"≥ {low:.1f}×"
    assert high == float("inf")


def test_measures_in_words(findings):
    assert findings["lrn_lowers_error"].measure == "test top-1 error, %"
    assert findings["dropout_curbs_overfitting"].measure == "test less training top-1 error, %"
    assert (
        findings["relu_trains_faster_than_tanh"].measure
        == "epochs to 25 % running training top-1 error"
    )


def test_a_claim_about_kernels_is_in_points(folder, compare):
    color = compare("towers_specialise", [0.05] * 3, [0.25, 0.3, 0.28], margin=0.1)
    folder.decide({color: {"measure": {"metric": "color", "direction": "higher"}}})
    (finding,) = gather(folder.path).chapters[0].findings
    assert finding.measure == "difference of the towers' mean colour, points"
    assert (finding.unit, finding.value_scale) == ("points", 100.0)


def test_a_rule_that_was_changed_is_said(study):
    path = study.path / "verdicts.json"
    content = json.loads(path.read_text())
    result = content["studies"][0]["results"][0]
    result["earlier_rules"] = [{"rule_hash": "x", "rule": {**result["rule"], "margin": 0.5}}]
    path.write_text(json.dumps(content))
    notes = [note for f in gather(study.path).chapters[0].findings for note in f.notes]
    assert any("margin: 0.5 before, 0.007 now" in note for note in notes)


def test_claims_that_other_commands_decided_are_counted(findings):
    finding = findings["lrn_lowers_error"]
    family = [other for other in findings.values() if other.result.family == "confirmatory"]
    assert not any("not adjusted" in note.lower() for note in finding.notes)
    alone = replace(finding, result=replace(finding.result, adjusted_with=["lrn_lowers_error"]))
    apart = sum(other.result.verdict is not None for other in family) - 1
    assert f"Not adjusted for {apart} claims of the same family," in " ".join(alone.notes)


def test_they_follow_the_sections_of_the_paper(findings):
    sections = [finding.result.section for finding in findings.values()]
    assert sections == [
        "3.1, Figure 1",
        "3.2",
        "3.3",
        "3.4",
        "4.1",
        "4.2",
        "6",
        "extension",
        "control",
    ]


def test_a_sentence_has_no_second_label_and_real_minus_signs(findings):
    sentence = findings["dropout_curbs_overfitting"].sentence
    assert sentence.startswith("−2.")
    assert sentence.endswith(".")
    assert "contradicted" not in sentence
