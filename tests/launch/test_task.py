from dataclasses import replace
from pathlib import Path

import pytest
import submitit

from ablations.config import Accelerator, Slurm, Trainer
from ablations.launch.task import Task
from ablations.record import load

HERE = Trainer(Accelerator.cpu, threads=1, checkpoint_steps=1, slurm=Slurm(submit=True, cpus=1))


def local(output: Path, task: Task) -> submitit.Job:
    return submitit.LocalExecutor(output / ".slurm" / "%j").submit(task)


@pytest.mark.slow
def test_a_job_that_fails_says_why(tiny_job, runs_dir: Path):
    job = replace(tiny_job(trainer=HERE), store="nowhere")
    with pytest.raises(submitit.core.utils.FailedJobError, match="nowhere"):
        local(runs_dir, Task(runs_dir, job)).result()


@pytest.mark.slow
def test_a_job_leaves_its_record(tiny_job, runs_dir: Path):
    job = tiny_job(trainer=HERE)
    local(runs_dir, Task(runs_dir, job)).result()
    assert load(runs_dir / job.run.run_id) is not None
