import json

import pytest

from ablations.config import ConfigError
from ablations.page.evidence import gather

OTHER = "0123456789ab" + "0" * 52


def test_runs_of_different_data_are_refused(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1, fingerprint=OTHER)
    with pytest.raises(ConfigError, match="data e8b54433d374") as error:
        gather(folder.path)
    assert "data 0123456789ab" in str(error.value)
    assert "next step: " in str(error.value)


def test_runs_of_different_numerics_are_refused(folder):
    record = folder.add(0.25, 0)
    folder.add(0.25, 1, provenance={**record.provenance, "numerics": 2})
    with pytest.raises(ConfigError, match="numerics 2: 1 run"):
        gather(folder.path)


def test_runs_that_no_verdict_needs_are_left_out_where_they_differ(study):
    study.add(0.5, 7, fingerprint=OTHER)
    evidence = gather(study.path)
    assert 7 not in {run.seed for run in evidence.chapters[0].runs}
    assert any("1 run of other data" in note for note in evidence.missing)


def test_verdicts_of_other_data_than_their_runs_are_refused(study):
    path = study.path / "verdicts.json"
    content = json.loads(path.read_text())
    content["studies"][0]["fingerprint"] = OTHER
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="the verdicts are of data 0123456789ab"):
        gather(study.path)


def test_runs_are_shown_before_the_first_verdict(study):
    path = study.path / "verdicts.json"
    content = json.loads(path.read_text())
    for result in content["studies"][0]["results"]:
        result["arms"] = {}
    path.write_text(json.dumps(content))
    study.add(0.25, 7, fingerprint=OTHER)
    evidence = gather(study.path)
    assert len(evidence.chapters[0].runs) == 15
    assert [note for note in evidence.missing if "other data" in note] == [
        "cifar10_small: left out, 1 run of other data or numerics than the verdicts; runs that "
        "differ in these are never pooled."
    ]


def test_experiments_of_different_data_are_chapters_of_one_report(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 0, experiment="smoke", fingerprint=OTHER, data="synthetic")
    chapters = {chapter.key: chapter.dataset for chapter in gather(folder.path).chapters}
    assert chapters == {"cifar10_small": "CIFAR-10 (JPEG)", "smoke": "synthetic"}


def test_tuning_runs_are_counted_and_not_shown(study):
    chapter = gather(study.path).chapters[0]
    assert chapter.tuning == 1
    assert 1000 not in {run.seed for run in chapter.runs}


def test_records_that_are_not_there_are_said(study):
    for path in list(study.path.glob("*/record.json"))[:2]:
        path.unlink()
    assert any("are not here" in note for note in gather(study.path).missing)


def test_records_that_tell_no_colours_are_said(folder):
    folder.add(0.25, 0, colors=[0.5, 0.7])
    folder.add(0.25, 1, status="diverged")
    assert not [note for note in gather(folder.path).missing if "specialise" in note]
    folder.add(0.25, 2)
    (note,) = (note for note in gather(folder.path).missing if "specialise" in note)
    assert note.startswith("cifar10_small: 1 record older than the numbers")


def test_the_unchanged_experiment_comes_first(study):
    assert [arm.name for arm in gather(study.path).chapters[0].arms] == [
        "paper",
        "activation=tanh",
        "pooling=nonoverlap",
    ]
