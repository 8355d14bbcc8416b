import json
from dataclasses import replace

import pytest
from records import make_result

from ablations.config import ConfigError
from ablations.page.evidence import gather

OTHER = "0123456789ab" + "0" * 52


@pytest.fixture
def edit(study):
    """Changes the study in ``verdicts.json``."""
    path = study.path / "verdicts.json"

    def change(**changes):
        content = json.loads(path.read_text())
        content["studies"][0] |= changes
        path.write_text(json.dumps(content))

    return change


def test_runs_of_different_data_are_refused(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1, fingerprint=OTHER)
    with pytest.raises(ConfigError, match="data e8b54433d374") as error:
        gather(folder.path)
    assert "data 0123456789ab" in str(error.value)
    assert "next step: " in str(error.value)


def test_runs_that_no_verdict_needs_are_left_out_where_they_differ(study):
    study.add(0.5, 7, fingerprint=OTHER)
    evidence = gather(study.path)
    assert 7 not in {run.seed for run in evidence.chapters[0].runs}
    assert any("left out 1 run of other data" in note for note in evidence.missing)


def test_verdicts_of_other_data_than_their_runs_are_refused(study, edit):
    edit(fingerprint=OTHER)
    with pytest.raises(ConfigError, match="the verdicts are of data 0123456789ab"):
        gather(study.path)


def test_runs_of_a_study_are_shown_before_its_first_verdict(study, edit):
    edit(results=[])
    study.add(0.25, 7, fingerprint=OTHER)
    evidence = gather(study.path)
    assert len(evidence.chapters[0].runs) == 15
    assert evidence.missing == [
        "small: left out 1 run of other data or numerics than the verdicts; such runs are never "
        "pooled."
    ]


def test_runs_that_no_study_asked_for_have_chapters_of_their_own(study):
    study.add(0.25, 0, experiment="smoke", fingerprint=OTHER, dataset="synthetic")
    study.add(0.25, 0, experiment="cifar10")
    chapters = gather(study.path).chapters
    assert {(c.name, c.dataset, len(c.runs)) for c in chapters if not c.study} == {
        ("cifar10", "CIFAR-10 (JPEG)", 1),
        ("smoke", "synthetic", 1),
    }
    assert len(chapters[0].runs) == 15


def test_a_run_of_another_experiment_is_a_studys_where_its_verdicts_name_it(folder):
    runs = {
        "with": [folder.add(0.25, s, experiment="smoke") for s in range(100, 103)],
        "without": [
            folder.add(0.28, s, experiment="smoke", arm="norm=none width=2")
            for s in range(100, 103)
        ],
    }
    values = {"": ([0.28, 0.281, 0.282], [0.25, 0.251, 0.25])}
    folder.study(make_result("a", values, runs=runs, names=("baseline", "norm=none")))
    (chapter,) = gather(folder.path).chapters
    assert chapter.name == "small"
    assert [(arm.name, len(arm.runs)) for arm in chapter.arms] == [
        ("baseline", 3),
        ("norm=none", 3),
    ]


def test_two_studies_share_runs(study):
    study.study(*gather(study.path).chapters[0].study.results[:1], name="second", title="Second")
    first, second = gather(study.path).chapters
    assert {run.run_id for run in second.runs} < {run.run_id for run in first.runs}


def test_tuning_runs_are_counted_and_not_shown(study):
    chapter = gather(study.path).chapters[0]
    assert chapter.tuning == 1
    assert 1000 not in {run.seed for run in chapter.runs}


def test_missing_records_are_told(study):
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
    assert len(evidence.chapters[0].runs) == 15


def test_the_baseline_comes_first(study):
    assert [arm.name for arm in gather(study.path).chapters[0].arms] == [
        "baseline",
        "activation=tanh",
        "pooling=nonoverlap",
    ]


def test_claims_are_grouped_by_family_without_the_excluded(study):
    chapter = gather(study.path).chapters[0]
    assert [(title, len(found)) for title, found in chapter.groups] == [
        ("Claims", 8),
        ("Extensions", 1),
        ("Controls", 1),
    ]
    assert [finding.result.claim for finding in chapter.excluded] == ["ensembles_lower_error"]


def test_all_networks_are_named_the_most_frequent_first(folder):
    folder.add(0.25, 0)
    first = folder.add(0.25, 1)
    run = replace(first.run, width=0.5, fingerprint=first.run.fingerprint)
    other = replace(first, run_id=run.run_id, differences=run.differences, seed=run.seed)
    (folder.path / other.run_id).mkdir()
    other.save(folder.path / other.run_id)
    scale = gather(folder.path).chapters[0].scale
    assert scale.startswith(
        "alexnet_small at width 1 and alexnet_small at width 0.5, 1,796,458 parameters, "
        "1,000 training images, 10 epochs"
    )
