from dataclasses import replace

from ablations.page.evidence import gather
from ablations.page.provenance import provenance


def test_provenance_names_study_data_device_commits_and_versions(study):
    found = dict(provenance(gather(study.path).chapters[0]))
    assert found["Study"] == "small, version 2: cifar10_small recipe.epochs=10"
    assert found["Commit of the rules"] == "1d9c3ec28f"
    assert found["Seeds"] == "pairs from 100; tuning and gate 1000 and 1001"
    assert found["Data"].startswith("CIFAR-10 (JPEG), SHA-256 e8b54433d374")
    assert found["Devices"] == "1 × a machine"
    assert found["Commit of the runs"] == "8e073b8cf0"
    assert found["Versions"] == "python 3.11; torch 2.15.0"
    assert found["Finished"] == "2012-12-03T10:00"


def test_a_study_outside_a_clone_has_no_commit(study):
    chapter = gather(study.path).chapters[0]
    chapter = replace(chapter, study=replace(chapter.study, commit=None))
    assert dict(provenance(chapter))["Commit of the rules"] == "unknown, outside a clone"


def test_what_differs_between_runs_is_counted(folder):
    first = folder.add(0.25, 0)
    folder.add(0.25, 1)
    folder.add(0.25, 2, hardware=replace(first.hardware, device="another"), data={"skipped": 3})
    found = dict(provenance(gather(folder.path).chapters[0]))
    assert found["Devices"] == "1 × a machine (2 runs), 1 × another (1 run)"
    assert found["Broken images left out"] == "3"
    assert "Study" not in found


def test_tuning_runs_are_counted_besides(study):
    chapter = replace(gather(study.path).chapters[0], tuning=26)
    assert dict(provenance(chapter))["Runs"].endswith("; besides, 26 for tuning and gates")
