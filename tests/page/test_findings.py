import pytest

from ablations.page.evidence import gather


@pytest.fixture
def findings(study):
    chapter = gather(study.path).chapters[0]
    return {finding.result.claim: finding for finding in chapter.findings}


def test_points_are_hundredths(findings):
    finding = findings["two_towers_beat_half_the_kernels"]
    assert (finding.theirs, finding.margin, finding.suffix) == ("6 points", 3.0, " points")


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
