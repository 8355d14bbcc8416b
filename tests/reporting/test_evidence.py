"""Records and verdicts that a report shows, and their provenance."""

import json
from dataclasses import replace

import pytest
from records import make_result

from ablations.config import ConfigError
from ablations.reporting.evidence import gather
from ablations.reporting.exports import runs_csv
from ablations.reporting.tables import arms_table, provenance, published_rows

OTHER = "0123456789ab" + "0" * 52


def section_of(folder):
    return gather(folder.path).sections[0]


@pytest.fixture
def edit(study):
    """Changes the study in ``verdicts.json``."""
    path = study.path / "verdicts.json"

    def change(**changes):
        content = json.loads(path.read_text())
        content["studies"][0] |= changes
        path.write_text(json.dumps(content))

    return change


# What is never pooled


def test_runs_of_different_data_are_refused(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1, fingerprint=OTHER)
    with pytest.raises(ConfigError, match=r"(?s)data (e8b|012).*data (e8b|012).*next step: "):
        gather(folder.path)


@pytest.mark.parametrize("judged", [True, False])
def test_other_runs_of_a_study_are_shown_if_their_data_are_the_studys(study, edit, judged):
    if not judged:
        edit(results=[])
    study.add(0.25, 7)
    study.add(0.5, 8, fingerprint=OTHER)
    evidence = gather(study.path)
    seeds = {run.seed for run in evidence.sections[0].runs}
    assert seeds & {7, 8} == {7}
    assert any("left out 1 run of other data" in note for note in evidence.missing)


# Sections


def test_runs_of_no_study_have_sections_named_after_their_own_data(study):
    study.add(0.25, 0, experiment="cifar10", fingerprint=OTHER, dataset="my photographs")
    judged, others = gather(study.path).sections
    assert (judged.title, len(judged.runs)) == ("Small study", 15)
    assert (others.title, len(others.runs)) == ("my photographs: cifar10", 1)


def test_tuning_runs_under_another_name_belong_to_the_study(study):
    study.add(0.25, 1000, experiment="cifar10")
    (section,) = gather(study.path).sections
    assert "cifar10" in {run.experiment for run in section.tuning}


def test_tuning_runs_of_a_study_stay_there_beside_another_with_equal_seeds(study):
    path = study.path / "verdicts.json"
    saved = json.loads(path.read_text())
    saved["studies"].append(saved["studies"][0] | {"name": "second", "results": []})
    path.write_text(json.dumps(saved))
    study.add(0.25, 1000, experiment="cifar10")
    first, second = gather(study.path).sections
    assert {run.experiment for run in first.tuning} == {"small"}
    assert {run.experiment for run in second.tuning} == {"cifar10"}


def test_a_run_of_another_experiment_has_the_name_of_the_arm_in_the_study(folder):
    runs = {
        side: [folder.add(0.25, s, experiment="smoke", arm=arm) for s in range(100, 103)]
        for side, arm in (("with", "baseline"), ("without", "norm=none width=2"))
    }
    values = {"": ([0.28, 0.281, 0.282], [0.25, 0.251, 0.25])}
    folder.study(make_result("a", values, runs=runs, names=("baseline", "norm=none")))
    (section,) = gather(folder.path).sections
    assert [(arm.name, len(arm.runs)) for arm in section.arms] == [
        ("baseline", 3),
        ("norm=none", 3),
    ]


def test_tuning_runs_are_in_the_provenance_and_not_among_the_arms(study):
    section = section_of(study)
    assert len(section.tuning) == 1
    another = replace(section.tuning[0].hardware, device="another")
    study.add(0.2, 1001, arm="activation=tanh recipe.lr=0.03", hardware=another)
    section = section_of(study)
    assert not {1000, 1001} & {run.seed for run in section.runs}
    found = dict(provenance(section))
    assert "2 for tuning and gates" in found["Runs"]
    assert found["Devices"] == "1 × a machine (16 runs), 1 × another (1 run)"


def test_missing_records_are_reported(study):
    for path in list(study.path.glob("*/record.json"))[:2]:
        path.unlink()
    assert any("are not here" in note for note in gather(study.path).missing)


def test_claims_are_grouped_by_family_in_the_order_of_the_paper(written):
    (section,) = gather(written).sections
    assert [(title, len(found)) for title, found in section.groups.items()] == [
        ("Claims", 8),
        ("Extensions", 1),
        ("Controls", 1),
    ]
    assert [r.section for r in section.shown][:4] == ["3.1, Figure 1", "3.2", "3.3", "3.4"]
    assert [r.claim for r in section.excluded] == ["ensembles_lower_error"]


# Arms


def test_the_baseline_comes_first_with_a_tuned_rate_too(folder):
    mine = "callbacks=Mine(decay=0.9,every=2)"  # a single change
    for name in ("activation=tanh", "norm=none recipe.lr=0.02", "recipe.lr=0.01", mine, "baseline"):
        folder.add(0.25, 0, arm=name)
    assert [arm.name for arm in section_of(folder).arms] == [
        "baseline",
        "activation=tanh",
        mine,
        "recipe.lr=0.01",
        "norm=none recipe.lr=0.02",
    ]


def test_runs_that_two_arms_read_count_for_the_one_with_fewer_changes(folder):
    # Either arm may have trained the runs.
    names = ("baseline", "evaluation=center")
    runs = [folder.add(0.25, s, experiment="small", arm=names[s % 2]) for s in range(100, 103)]
    values = {"": ([0.28, 0.281, 0.282], [0.25, 0.251, 0.25])}
    sides = {"with": runs, "without": runs}
    folder.study(make_result("a", values, runs=sides, names=names))
    assert [(arm.name, len(arm.runs)) for arm in section_of(folder).arms] == [("baseline", 3)]


COMMON = "augmentation=none width=1.0"


def test_arms_are_named_by_what_they_change_in_the_baseline(folder):
    runs = {
        side: [folder.add(0.25, seed, arm=arm) for seed in range(100, 103)]
        for side, arm in (
            ("with", f"{COMMON} recipe.lr=0.002"),
            ("without", f"activation=tanh {COMMON} recipe.lr=0.008"),
        )
    }
    folder.add(0.25, 100, arm=f"norm=none {COMMON} recipe.lr=0.002")
    names = tuple(runs[side][0].arm for side in ("with", "without"))
    values = {"": ([0.28, 0.281, 0.282], [0.25, 0.251, 0.25])}
    folder.study(make_result("a", values, runs=runs, names=names))
    evidence = gather(folder.path)
    (section,) = evidence.sections
    short = ["baseline", "activation=tanh", "norm=none"]
    assert [arm.name for arm in section.arms] == short
    assert {run.arm for run in section.runs} == set(short)
    sides = section.results[0].arms[""]
    assert (sides["with"].name, sides["without"].name) == ("baseline", "activation=tanh")
    assert {line.split(",")[1] for line in runs_csv(evidence).splitlines()[1:]} == set(short)
    # What the names leave out.
    found = dict(provenance(section))
    assert found["Baseline"] == f"{COMMON} recipe.lr=0.002"
    assert found["Tuned by arm"] == "activation=tanh: recipe.lr=0.008"


def test_a_diverged_run_counts_as_chance(folder):
    folder.add(0.25, 0, status="diverged", colors=[])
    folder.add(0.25, 1, colors=[0.7, 0.5])
    section = section_of(folder)
    (arm,) = section.arms
    assert arm.errors("ten_view", 1)[0] == 90.0
    assert len(arm.gaps) == 1
    assert arm.color_differences == pytest.approx([20])
    assert arms_table(section)[1][0][1] == "2 (1 diverged)"


@pytest.mark.parametrize(("classes", "shown"), [(5, False), (6, True)])
def test_a_top5_error_is_only_shown_if_it_can_differ_from_zero(folder, classes, shown):
    record = folder.add(0.25, 0, data={"classes": classes})
    head, (row,) = arms_table(section_of(folder))
    assert ("top-5, ten views" in head) == shown
    assert (f"{100 * record.test_error('ten_view', 5):.2f}" in row) == shown
    assert len(head) == len(row)


# Scale, provenance, and results of others


def test_provenance_names_study_data_device_commits_and_versions(written):
    found = dict(provenance(gather(written).sections[0]))
    assert found["Study"] == "small, version 2: cifar10_small recipe.epochs=10"
    assert found["Commit of the rules"] == "1d9c3ec28f"
    assert found["Seeds"] == "pairs from 100; tuning and gate 1000 and 1001"
    assert found["Commit of the runs"] == "8e073b8cf0"
    assert found["Versions"] == "python 3.11; torch 2.15.0"


def test_claims_that_no_command_has_asked_for_are_named(study, edit):
    claims = [result.claim for result in section_of(study).results]
    edit(claims=[*claims, "bf16_changes_nothing"])
    section = section_of(study)
    assert section.unasked == ["bf16_changes_nothing"]
    assert "Bf16 changes nothing" in dict(provenance(section))["Other claims of the study"]


def test_published_results_are_shown_beside_imagenet_only(folder):
    folder.add(0.25, 0)
    folder.add(
        0.4, 0, experiment="imagenet", dataset="ImageNet (ILSVRC-2012)", data={"classes": 1000}
    )
    imagenet, small = sorted(gather(folder.path).sections, key=lambda section: section.name)
    assert published_rows(small) == []
    rows = published_rows(imagenet)
    assert rows[0][:2] == ("ours", "baseline, n = 1")
    assert ("authors’ 145-2010", "37.47", "17.00") in {(row[0], row[4], row[5]) for row in rows}
