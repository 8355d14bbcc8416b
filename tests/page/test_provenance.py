from dataclasses import replace

from ablations.page.evidence import gather
from ablations.page.provenance import provenance


def test_provenance_names_data_device_commit_and_versions(study):
    found = dict(provenance(gather(study.path).chapters[0]))
    assert found["Data"].startswith("CIFAR-10 (JPEG), SHA-256 e8b54433d374")
    assert found["Devices"] == "1 × a machine"
    assert found["Commit"] == "8e073b8cf0"
    assert found["Versions"] == "python 3.11; torch 2.15.0"
    assert found["Finished"] == "2012-12-03T10:00"


def test_what_differs_between_runs_is_counted(folder):
    folder.add(0.25, 0)
    folder.add(0.25, 1)
    folder.add(0.25, 2, device="another", skipped=3)
    found = dict(provenance(gather(folder.path).chapters[0]))
    assert found["Devices"] == "1 × a machine (2 runs), 1 × another (1 run)"
    assert found["Broken images left out"] == "3"


def test_runs_of_tuning_are_counted_besides(study):
    chapter = replace(gather(study.path).chapters[0], tuning=26)
    assert dict(provenance(chapter))["Runs"].endswith("diverged; besides, 26 in tuning")
