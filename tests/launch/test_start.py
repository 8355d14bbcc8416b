from dataclasses import replace
from pathlib import Path

import pytest

from ablations.config import Slurm, Trainer
from ablations.launch import start as module


@pytest.mark.parametrize(("submit", "name"), [(False, "Pool"), (True, "Queue")])
def test_runs_start_here_or_in_slurm(submit: bool, name: str, tiny_job, monkeypatch):
    called = []

    class Fake:
        def __init__(self, *arguments) -> None:
            called.append(arguments)

        def run(self, jobs):
            return jobs

    monkeypatch.setattr(module, name, Fake)
    monkeypatch.setattr(module, "warm_up", lambda: called.append("warm"))
    job = replace(tiny_job(), trainer=Trainer(slurm=Slurm(submit=submit)))
    assert module.start(Path("runs"), [job], print, 1.0) == [job]
    if submit:
        assert called == [(Path("runs"), print, 1.0)]
    else:
        assert called == ["warm", (Path("runs"), print, 1.0, None)]


def test_one_machine_has_no_team(tmp_path: Path):
    with module.lead(None, tmp_path, print) as team:
        assert team is None
    assert list(tmp_path.iterdir()) == []
