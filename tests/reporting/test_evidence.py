"""Which records and verdicts a report shows, and what it says of their origin."""

import json
from dataclasses import replace

import pytest
from records import make_result

from ablations.config import ConfigError
from ablations.reporting import reference
from ablations.reporting.evidence import gather
from ablations.reporting.provenance import provenance

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
    with pytest.raises(ConfigError, match="data e8b54433d374") as error:
        gather(folder.path)
    assert "data 0123456789ab" in str(error.value)
    assert "next step: " in str(error.value)


def test_verdicts_of_other_data_than_their_runs_are_refused(study, edit):
    edit(fingerprint=OTHER)
    with pytest.raises(ConfigError, match="the verdicts are of data 0123456789ab"):
        gather(study.path)


@pytest.mark.parametrize("judged", [True, False])
def test_other_runs_of_a_study_are_shown_if_their_data_are_the_studys(study, edit, judged):
    if not judged:
        edit(results=[])
    study.add(0.25, 7)
    study.add(0.5, 8, fingerprint=OTHER)
    evidence = gather(study.path)
    seeds = {run.seed for run in evidence.sections[0].runs}
    assert 7 in seeds
    assert 8 not in seeds
    assert len(evidence.sections[0].runs) == 15 + 1
    assert any("left out 1 run of other data" in note for note in evidence.missing)


# Sections


def test_runs_of_no_study_have_sections_of_their_own(study):
    study.add(0.25, 0, experiment="smoke", fingerprint=OTHER, dataset="synthetic")
    study.add(0.25, 0, experiment="cifar10")
    sections = gather(study.path).sections
    assert {(s.name, s.dataset, len(s.runs)) for s in sections if not s.study} == {
        ("cifar10", "CIFAR-10 (JPEG)", 1),
        ("smoke", "synthetic", 1),
    }
    assert len(sections[0].runs) == 15


def test_a_run_of_another_experiment_has_the_name_of_the_arm_in_the_study(folder):
    runs = {
        side: [folder.add(0.25, s, experiment="smoke", arm=arm) for s in range(100, 103)]
        for side, arm in (("with", "baseline"), ("without", "norm=none width=2"))
    }
    values = {"": ([0.28, 0.281, 0.282], [0.25, 0.251, 0.25])}
    folder.study(make_result("a", values, runs=runs, names=("baseline", "norm=none")))
    (section,) = gather(folder.path).sections
    assert section.name == "small"
    assert [(arm.name, len(arm.runs)) for arm in section.arms] == [
        ("baseline", 3),
        ("norm=none", 3),
    ]


def test_two_studies_share_runs(study):
    study.study(*section_of(study).study.results[:1], name="second", title="Second")
    first, second = gather(study.path).sections
    assert {run.run_id for run in second.runs} < {run.run_id for run in first.runs}


def test_tuning_runs_are_counted_and_not_shown(study):
    section = section_of(study)
    assert section.tuning == 1
    assert 1000 not in {run.seed for run in section.runs}
    assert "1 for tuning and gates" in dict(provenance(section))["Runs"]


def test_missing_records_are_reported(study):
    for path in list(study.path.glob("*/record.json"))[:2]:
        path.unlink()
    assert any("are not here" in note for note in gather(study.path).missing)


def test_a_folder_that_keeps_records_only_is_read_alike(study, tmp_path):
    kept = tmp_path / "results"
    (kept / "records").mkdir(parents=True)
    (study.path / "verdicts.json").rename(kept / "verdicts.json")
    for path in study.path.glob("*/record.json"):
        path.rename(kept / "records" / f"{path.parent.name}.json")
    evidence = gather(kept)
    assert evidence.missing == []
    assert len(evidence.sections[0].runs) == 15


def test_claims_are_grouped_by_family_in_the_order_of_the_paper(study):
    section = section_of(study)
    assert [(title, len(found)) for title, found in section.groups] == [
        ("Claims", 8),
        ("Extensions", 1),
        ("Controls", 1),
    ]
    assert [r.section for r in section.shown][:4] == ["3.1, Figure 1", "3.2", "3.3", "3.4"]
    assert [r.claim for r in section.excluded] == ["ensembles_lower_error"]


# Arms


def test_the_baseline_comes_first_with_a_tuned_rate_too(study, folder):
    for name in ("norm=none recipe.lr=0.02", "recipe.lr=0.01"):
        folder.add(0.25, 0, arm=name, experiment="other")
    by_name = {section.name: section for section in gather(folder.path).sections}
    assert [arm.name for arm in by_name["small"].arms] == [
        "baseline",
        "activation=tanh",
        "pooling=nonoverlap",
    ]
    assert [arm.name for arm in by_name["other"].arms] == [
        "recipe.lr=0.01",
        "norm=none recipe.lr=0.02",
    ]


def test_a_diverged_run_counts_as_chance(folder):
    folder.add(0.25, 0, status="diverged", colors=[])
    folder.add(0.25, 1, colors=[0.7, 0.5])
    (arm,) = section_of(folder).arms
    assert arm.errors("ten_view", 1)[0] == 90.0
    assert len(arm.finished) == len(arm.gaps) == 1
    assert arm.color_differences == pytest.approx([20])


# Scale and provenance


def test_all_networks_are_named_the_most_frequent_first(folder):
    folder.add(0.25, 0)
    first = folder.add(0.25, 1)
    run = replace(first.run, width=0.5, fingerprint=first.run.fingerprint)
    other = replace(first, run_id=run.run_id, differences=run.differences, seed=run.seed)
    (folder.path / other.run_id).mkdir()
    other.save(folder.path / other.run_id)
    assert section_of(folder).scale == (
        "alexnet_small at width 1 and alexnet_small at width 0.5, 1,796,458 parameters, "
        "1,000 training images, 10 epochs"
    )


def test_provenance_names_study_data_device_commits_and_versions(study):
    found = dict(provenance(section_of(study)))
    assert found["Study"] == "small, version 2: cifar10_small recipe.epochs=10"
    assert found["Commit of the rules"] == "1d9c3ec28f"
    assert found["Seeds"] == "pairs from 100; tuning and gate 1000 and 1001"
    assert found["Data"].startswith("CIFAR-10 (JPEG), SHA-256 e8b54433d374")
    assert found["Devices"] == "1 × a machine"
    assert found["Commit of the runs"] == "8e073b8cf0"
    assert found["Versions"] == "python 3.11; torch 2.15.0"
    assert found["Finished"] == "2012-12-03T10:00"


def test_a_study_outside_a_clone_has_no_commit(study, edit):
    edit(commit=None)
    assert dict(provenance(section_of(study)))["Commit of the rules"].startswith("unknown")


def test_what_differs_between_runs_is_counted(folder):
    first = folder.add(0.25, 0)
    folder.add(0.25, 1)
    folder.add(0.25, 2, hardware=replace(first.hardware, device="another"), data={"skipped": 3})
    found = dict(provenance(section_of(folder)))
    assert found["Devices"] == "1 × a machine (2 runs), 1 × another (1 run)"
    assert found["Broken images left out"] == "3"
    assert "Study" not in found


# Results of others


def test_published_results_are_percentages_and_name_their_figure_in_the_paper():
    table = reference.load()
    rows = [*table["authors"], *table["others"]]
    assert len(table["authors"]) >= 15
    assert all(35 < row["top1"] < 45 and 14 < row["top5"] < 22 for row in rows)
    assert {row["views"] for row in rows} == {1, 10}
    traced = {row["run"] for row in table["authors"] if "traced" in row}
    assert {"145-half", "147", "148", "146-2012-2011"} <= traced


def test_published_results_are_shown_beside_imagenet_only(study):
    study.add(
        0.4,
        0,
        experiment="imagenet",
        dataset="ImageNet (ILSVRC-2012)",
        data={"classes": 1000},
    )
    small, imagenet = gather(study.path).sections
    assert not reference.applies(small)
    assert reference.applies(imagenet)
    rows = reference.rows(imagenet)
    assert rows[0][:2] == ("ours", "baseline, n = 1")
    assert ("authors’ 145-2010", "37.47", "17.00") in {(row[0], row[4], row[5]) for row in rows}
    assert any(row[0] == "torchvision alexnet" for row in rows)
