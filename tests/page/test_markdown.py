import pytest
from records import make_result

from ablations.page.evidence import gather
from ablations.page.labels import MARKS
from ablations.page.markdown import results


def lines(folder) -> list[str]:
    return results(gather(folder.path)).splitlines()


def details(folder, title: str) -> list[str]:
    """The lines behind one claim."""
    text = lines(folder)
    start = next(i for i, line in enumerate(text) if line.startswith(f"#### {title}"))
    end = next(i for i in range(start + 1, len(text)) if text[i].startswith("#"))
    return text[start:end]


def test_a_row_has_claim_section_paper_ours_points_pairs_and_label(study):
    row = next(line for line in lines(study) if line.startswith("| LRN lowers error"))
    _, claim, section, paper, ours, points, n, label, _ = map(str.strip, row.split("|"))
    assert (claim, section, paper, n) == ("LRN lowers error", "3.3", "1.034× (other data)", "5")
    assert ours.startswith("1.120× [1.113, 1.")
    assert points.startswith("+3.")
    assert label == "**holds here**"


def test_parts_and_top5_have_rows_of_their_own(study):
    text = lines(study)
    assert any(line.startswith("| – conv4 |") and "direction holds here" in line for line in text)
    assert any(line.startswith("| – top-5, secondary |") for line in text)


def test_the_gate_is_shown_with_its_numbers_and_what_would_pass(study):
    text = details(study, "Crops and flips curb overfitting: not testable here")
    assert "- Gate, learns, passed: No arm is at chance, none diverged throughout." in text
    assert (
        "- Gate, trained out, **failed**: At twice the epochs the baseline's validation error "
        "changes by −27.3% [−48.0%, +1.6%] over 3 seeds; passes within ±5%."
    ) in text


@pytest.mark.parametrize(
    "line",
    [
        "- Margin: 1.017×: half of the paper's effect",
        "- Looks planned: 3, 5 and 8 pairs",
        "- Looks taken: Looked at 3 and 5 pairs; earlier study of the same claim on these data: "
        "old, 5 pairs, 2012-01-01, undecided.",
        "- P(holds): 0.31 at Δ = 1.034×, 0.92 at 2Δ",
        "- Paper: errors fall (ILSVRC-2010)",
        "- Arm without: norm=none; chosen: recipe.lr=0.01; validation top-1 error, % of each "
        "value: 0.005: 31, 0.01: 29, 0.02: 30",
        "- Rule: 0a1b2c3d4e5f, version 2 of the study",
        "- Confound: A second norm, never mentioned.",
        "What lrn_lowers_error says.",
    ],
)
def test_what_stands_behind_a_label(study, line):
    assert line in details(study, "LRN lowers error: holds here")


def test_every_warning_is_there(study):
    text = details(study, "Overlap pooling lowers error: undecided")
    assert "- **Warning**: Not resolvable by this study: P(holds) is below 0.5 at 2Δ." in text
    assert any("Warning" in line and "edge of its grid" in line for line in text)
    assert any("Warning" in line and "can resolve effects from" in line for line in text)


def test_data_scale_commit_and_seeds_are_named(study):
    text = lines(study)
    assert "## Small study" in text
    assert any(line.startswith("**CIFAR-10 (JPEG)**: alexnet_small at width 1") for line in text)
    assert "- Study: small, version 2: cifar10_small recipe.epochs=10" in text
    assert "- Commit of the rules: 1d9c3ec28f" in text
    assert "- Seeds: pairs from 100; tuning and gate 1000 and 1001" in text


def test_a_control_has_its_own_table_and_words(study):
    text = lines(study)
    control = text[text.index("### Controls") :]
    assert any(line.endswith("| **as expected** |") for line in control)


def test_a_claim_that_makes_no_sense_gives_its_reason(study):
    assert "- Ensembles lower error: too few seeds for an ensemble" in lines(study)


def test_claims_are_counted_by_label(study):
    assert (
        "2 hold here, direction holds here in 1, no effect here in 1, 1 opposite here, "
        "1 undecided, 1 not testable here, 1 incomplete." in lines(study)
    )


def test_the_glossary_has_the_rule_of_each_label(study):
    text = "\n".join(lines(study))
    for label, mark in MARKS.items():
        assert f"| **{label}** | {label.word(at_paper=True)} | {mark.rule} |" in text


def test_labels_speak_of_the_paper_at_its_own_setting_only(folder):
    values = {"": ([0.3, 0.301, 0.302], [0.2, 0.201, 0.2])}
    folder.study(make_result("a_claim", values, claims=1))
    folder.study(make_result("a_claim", values, claims=1, at_paper=True), name="at_paper")
    elsewhere, at_paper = (line for line in lines(folder) if line.startswith("| A claim"))
    assert elsewhere.endswith("| **holds here** |")
    assert "(other data)" in elsewhere
    assert at_paper.endswith("| **reproduced** |")
    assert "(other data)" not in at_paper


def test_without_verdicts_there_are_arms(folder):
    for seed in range(3):
        folder.add(0.25, seed)
    text = "\n".join(lines(folder))
    assert "> No verdicts yet" in text
    assert "| baseline | 3 | 25." in text
    assert "Glossary" not in text.partition("\n## ")[2]


def test_diverged_runs_are_counted(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1, status="diverged")
    row = next(line for line in lines(folder) if line.startswith("| baseline"))
    assert "| 2 (1 diverged) |" in row


def test_bars_do_not_break_the_table(folder):
    folder.add(0.25, 0, arm="a|b")
    assert any(line.startswith("| a\\|b |") for line in lines(folder))


def test_the_authors_runs_are_not_shown_beside_other_data(study):
    assert not any("145-2010" in line for line in lines(study))


def test_the_authors_runs_are_shown_beside_imagenet(folder):
    name = "ImageNet (ILSVRC-2012)"
    folder.add(0.4, 0, experiment="imagenet", dataset=name, data={"classes": 1000})
    text = lines(folder)
    assert any("| authors’ 145-2010 |" in line and "| 37.47 | 17.00 |" in line for line in text)
    assert any(line.startswith("| ours | baseline, n = 1 |") for line in text)
    assert any("torchvision alexnet" in line for line in text)
