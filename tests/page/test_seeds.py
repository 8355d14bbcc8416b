from ablations.page.evidence import gather
from ablations.page.seeds import curves, points


def chapter_of(folder):
    return gather(folder.path).chapters[0]


def test_points_say_how_many_pairs_agree(study):
    finding = next(f for f in chapter_of(study).claims if f.result.section == "3.3")
    drawing = points(finding)
    assert "5 of 5 pairs point in the paper's direction" in drawing.description
    assert [row[0] for row in drawing.rows] == ["0", "1", "2", "3", "4"]


def test_diverged_runs_are_written_into_the_picture(folder, compare):
    nan = float("nan")
    folder.decide(
        {
            compare(
                "lrn_lowers_error",
                [0.3, nan, 0.31],
                [0.2, 0.21, 0.22],
                margin=0.01,
                diverged_as=0.9,
            ): {}
        }
    )
    drawing = points(chapter_of(folder).claims[0])
    assert "1 diverged" in drawing.wide
    assert drawing.rows[1][1] == "none"


def test_only_a_timed_claim_has_a_target(study):
    evidence = gather(study.path)
    drawn = {
        finding.result.section: [drawing.wide for drawing in curves(finding, evidence.runs)]
        for finding in evidence.chapters[0].claims
    }
    train, val = drawn["3.1, Figure 1"]
    assert "target 25 %" in train
    assert "target" not in val
    assert not any("target" in svg for svg in drawn["3.3"])
    assert drawn["3.2"] == []
