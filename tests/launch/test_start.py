from pathlib import Path

import pytest
from rich.console import Console

from ablations.config import Job, Trainer
from ablations.launch import start as module


def test_several_nodes_outside_of_slurm_get_the_commands_for_torchrun(
    tiny_job, runs_dir: Path, monkeypatch
):
    monkeypatch.setattr(module, "warm_up", lambda: pytest.fail("a run was started"))
    jobs = [tiny_job(seed=seed, trainer=Trainer(num_nodes=2, devices=3)) for seed in (0, 1)]
    console = Console(record=True, width=40)
    states = module.start(runs_dir, jobs, console, print)
    assert [state.status for state in states] == ["waiting"] * 2
    assert [Job.load(state.folder) for state in states] == jobs
    lines = [line for line in console.export_text().splitlines() if line.startswith("torchrun ")]
    for line, state in zip(lines, states, strict=True):
        assert "--nnodes=2 " in line
        assert line.endswith(f"--nproc-per-node=3 -m ablations.train {state.folder}")
