from pathlib import Path

import pytest
from rich.console import Console

from ablations.config import Job, Slurm, Trainer
from ablations.launch import start as module


@pytest.fixture
def called(monkeypatch) -> list[str]:
    """Names of the classes that were asked to train the jobs, which none does."""
    found = []

    def fake(name: str) -> type:
        class Fake:
            def __init__(self, *arguments) -> None:
                found.append(name)

            def run(self, jobs):
                return jobs

        return Fake

    for name in ("Pool", "Queue"):
        monkeypatch.setattr(module, name, fake(name))
    monkeypatch.setattr(module, "warm_up", lambda: None)
    return found


@pytest.mark.parametrize(
    ("trainer", "environment", "starter"),
    [
        (Trainer(), {}, "Pool"),
        (Trainer(num_nodes=2), {"SLURM_JOB_ID": "7"}, "Pool"),
        (Trainer(num_nodes=2, slurm=Slurm(submit=True)), {}, "Queue"),
    ],
)
def test_runs_start_here_or_in_slurm(trainer, environment, starter, called, tiny_job, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    job = tiny_job(trainer=trainer)
    assert module.start(Path("runs"), [job], Console(), print) == [job]
    assert called == [starter]


def test_several_nodes_outside_of_slurm_get_the_commands_for_torchrun(
    called, tiny_job, runs_dir: Path
):
    jobs = [tiny_job(seed=seed, trainer=Trainer(num_nodes=2, devices=3)) for seed in (0, 1)]
    console = Console(record=True, width=40)
    states = module.start(runs_dir, jobs, console, print)
    assert [state.status for state in states] == ["waiting"] * 2
    assert [Job.load(state.folder) for state in states] == jobs
    lines = [line for line in console.export_text().splitlines() if line.startswith("torchrun ")]
    for line, state in zip(lines, states, strict=True):
        assert "--nnodes=2 " in line
        assert line.endswith(f"--nproc-per-node=3 -m ablations.train {state.folder}")
    assert called == []
