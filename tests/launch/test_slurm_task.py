from dataclasses import replace
from pathlib import Path

import pytest
import submitit

from ablations.config import Accelerator, Slurm, Trainer
from ablations.launch.slurm_task import Task
from ablations.record import load

HERE = Trainer(Accelerator.cpu, threads=1, checkpoint_steps=1, slurm=Slurm(submit=True, cpus=1))


@pytest.mark.slow
@pytest.mark.parametrize("store", [None, "nowhere"])
def test_a_job_leaves_its_record_or_says_why(store, tiny_job, runs_dir: Path):
    job = tiny_job(trainer=HERE)
    job = replace(job, store=store or job.store)
    task = submitit.LocalExecutor(runs_dir / ".slurm" / "%j").submit(Task(runs_dir, job))
    if store:
        with pytest.raises(submitit.core.utils.FailedJobError, match="nowhere"):
            task.result()
    else:
        task.result()
    assert (load(runs_dir / job.run.run_id) is None) is bool(store)


class FakePool:
    def stop(self) -> None:
        pass


@pytest.mark.parametrize("progress", [True, False])
def test_a_job_that_has_to_go_is_queued_again_if_it_made_progress(
    progress, tiny_job, runs_dir: Path
):
    job = tiny_job(trainer=HERE)
    task = Task(runs_dir, job)
    (runs_dir / job.run.run_id).mkdir()
    task.pool, task.before = FakePool(), []
    if progress:
        (runs_dir / job.run.run_id / "last.ckpt").touch()
    assert (task.checkpoint() is not None) is progress
