from dataclasses import replace

from ablations.page.evidence import gather
from ablations.page.markdown import results, tally


def lines(folder) -> list[str]:
    return results(gather(folder.path)).splitlines()


def test_a_row_says_claim_section_paper_ours_pairs_verdict_and_confounds(study):
    row = next(line for line in lines(study) if line.startswith("| LRN lowers error"))
    _, claim, section, paper, ours, n, verdict, confounds, _ = map(str.strip, row.split("|"))
    assert (claim, section, paper, n) == (
        "LRN lowers error",
        "3.3",
        "1.4 points (other data)",
        "5",
    )
    assert ours.startswith("3.0 points [")
    assert verdict == "**Reproduced**, strong"
    assert confounds == "1, 2"


def test_confounds_are_numbered_below_the_table(study):
    text = lines(study)
    assert "1. One run per arm in the paper." in text
    assert "2. A second norm, never mentioned." in text


def test_a_experiment_is_labelled_with_data_and_scale(study):
    text = "\n".join(lines(study))
    assert "## CIFAR-10 small" in text
    assert "**CIFAR-10 (JPEG)**: alexnet_small at width 1" in text
    assert "1,000 training images, 10 epochs" in text


def test_a_control_has_its_own_table_and_words(study):
    text = lines(study)
    control = text[text.index("### Controls") :]
    assert any("| **Negligible** |" in line or "| **Undecided** |" in line for line in control)


def test_a_claim_that_makes_no_sense_gives_its_reason(study):
    assert "- Ensembles lower error: too few seeds for an ensemble" in lines(study)


def test_the_tally_goes_from_best_to_worst(study):
    chapter = gather(study.path).chapters[0]
    assert tally(chapter.paper) == (
        "2 reproduced, 1 direction only, 1 contradicted: opposite, 2 inconclusive"
    )


def test_without_verdicts_there_are_arms(folder):
    for seed in range(3):
        folder.add(0.25, seed)
    text = "\n".join(lines(folder))
    assert "> No verdicts yet" in text
    assert "| experiment unchanged | 3 | 25." in text


def test_diverged_runs_are_counted(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1, status="diverged")
    row = next(line for line in lines(folder) if line.startswith("| experiment unchanged"))
    assert "| 2 (1 diverged) |" in row


def test_bars_do_not_break_the_table(folder):
    folder.add(0.25, 0, arm="a|b")
    assert any(line.startswith("| a\\|b |") for line in lines(folder))


def test_the_authors_runs_do_not_stand_beside_other_data(study):
    assert not any("145-2010" in line for line in lines(study))


def test_the_authors_runs_stand_beside_imagenet(folder):
    record = folder.add(0.4, 0, experiment="imagenet", data="ImageNet (ILSVRC-2012)")
    replace(record, classes=1000).save(folder.path / record.run_id)
    text = lines(folder)
    assert any("| authors’ 145-2010 |" in line and "| 37.47 | 17.00 |" in line for line in text)
    assert any(line.startswith("| ours | experiment unchanged, n = 1 |") for line in text)
    assert any("torchvision alexnet" in line for line in text)


def test_all_networks_of_a_study_are_named_the_most_frequent_first(folder):
    first, _ = folder.add(0.25, 0), folder.add(0.25, 1)
    other = replace(first, run_id="other", run=first.run | {"network": "cifar_conv"})
    (folder.path / "other").mkdir()
    other.save(folder.path / "other")
    text = "\n".join(lines(folder))
    assert "alexnet_small at width 1 and cifar_conv at width 1, " in text
