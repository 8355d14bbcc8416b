import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import submitit

from ablations.config import Accelerator, ConfigError, Slurm, Trainer
from ablations.launch import slurm as module
from ablations.launch.slurm import Queue, Task, check, describe, options

HERE = Trainer(Accelerator.cpu, threads=1, checkpoint_steps=1, slurm=Slurm(submit=True, cpus=1))


@pytest.fixture
def cluster(monkeypatch, record):
    """SLURM as a table of states; what is submitted is queued, a job for each run."""

    class Cluster:
        table: dict[str, str] = {}  # noqa: RUF012
        submitted: list[list[int]] = []  # noqa: RUF012
        away = False
        looks = 0

        def submit(self, output, trainer, tasks) -> list[str]:
            self.submitted.append([task.job.run.seed for task in tasks])
            names = [f"{len(self.submitted)}_{number}" for number in range(len(tasks))]
            self.table |= dict.fromkeys(names, "PENDING")
            return names

        def states(self) -> dict[str, str]:
            self.looks += 1
            if self.away:
                raise ConfigError("squeue failed")
            return dict(self.table)

        def finish(self, output: Path, job) -> None:
            replace(record, run_id=job.run.run_id).save(output / job.run.run_id)

    found = Cluster()
    found.table, found.submitted = {}, []
    monkeypatch.setattr(module, "submit", found.submit)
    monkeypatch.setattr(module, "queue_states", found.states)
    for name in ("QUEUE_SECONDS", "LOOK_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(module, name, 0.0)
    return found


def detached(job):
    trainer = replace(job.trainer, slurm=Slurm(submit=True, detach=True))
    return replace(job, trainer=trainer)


def test_a_sweep_is_one_array_and_ends_with_its_records(cluster, tiny_job, runs_dir: Path):
    jobs = [tiny_job(seed=seed, trainer=HERE) for seed in range(3)]
    seen = []

    def watch(states) -> None:
        seen.append([state.status for state in states])
        cluster.table["1_0"] = "RUNNING"
        if len(seen) == 2:
            for job in jobs:
                cluster.finish(runs_dir, job)

    states = Queue(runs_dir, watch).run(jobs)
    assert cluster.submitted == [[0, 1, 2]]
    assert seen == [["queued"] * 3, ["running", "queued", "queued"], ["finished"] * 3]
    assert all(state.record is not None for state in states)


def test_a_command_that_comes_back_submits_only_what_slurm_does_not_have(
    cluster, tiny_job, runs_dir: Path
):
    jobs = [detached(tiny_job(seed=seed)) for seed in range(3)]
    for _ in range(2):
        states = Queue(runs_dir, lambda states: None).run(jobs)
        assert [state.status for state in states] == ["queued"] * 3
    assert cluster.submitted == [[0, 1, 2]]
    cluster.table |= {"1_0": "RUNNING", "1_1": "CANCELLED"}
    del cluster.table["1_2"]  # ended so long ago that SLURM has forgotten it
    states = Queue(runs_dir, lambda states: None).run(jobs)
    assert cluster.submitted == [[0, 1, 2], [1, 2]]
    assert [state.status for state in states] == ["running", "queued", "queued"]


@pytest.mark.parametrize("said", ["CANCELLED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT", None])
def test_a_job_that_ends_without_a_record_has_failed(said, cluster, tiny_job, runs_dir: Path):
    def watch(states) -> None:
        cluster.table.clear()
        if said:
            cluster.table["1_0"] = said

    (state,) = Queue(runs_dir, watch).run([tiny_job(trainer=HERE)])
    assert state.status == "failed"
    assert f"SLURM's job 1_0: {said or 'not in the queue any more'}" in state.tail


def test_a_job_that_is_queued_again_is_waited_for(cluster, tiny_job, runs_dir: Path):
    job = tiny_job(trainer=HERE)
    words = iter(["RUNNING", "COMPLETING", "REQUEUED", "PENDING", "RUNNING"])
    seen = []

    def watch(states) -> None:
        seen.append(states[0].status)
        cluster.table["1_0"] = next(words, "COMPLETED")
        if cluster.table["1_0"] == "COMPLETED":
            cluster.finish(runs_dir, job)

    Queue(runs_dir, watch).run([job])
    assert seen == ["queued", "running", "running", "queued", "queued", "running", "finished"]


def test_a_controller_that_is_away_stops_no_watching_but_every_submission(
    cluster, tiny_job, runs_dir: Path
):
    job = tiny_job(trainer=HERE)

    def watch(states) -> None:
        cluster.away = True
        if cluster.looks > 3:
            cluster.finish(runs_dir, job)

    (state,) = Queue(runs_dir, watch).run([job])
    assert state.status == "finished"
    (runs_dir / job.run.run_id / "record.json").unlink()
    with pytest.raises(ConfigError, match="squeue failed"):
        Queue(runs_dir, watch).run([job])
    assert len(cluster.submitted) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_jobs_go_on_without_the_command(number, cluster, tiny_job, runs_dir: Path, capsys):
    with pytest.raises(SystemExit) as stopped:
        Queue(runs_dir, lambda states: os.kill(os.getpid(), number)).run([tiny_job(trainer=HERE)])
    assert stopped.value.code == 128 + number
    said = capsys.readouterr().err
    assert "1 jobs go on in SLURM; the same command watches them again, and `scancel 1`" in said


def test_nothing_is_submitted_after_the_deadline_and_the_queued_is_taken_back(
    cluster, tiny_job, runs_dir: Path, monkeypatch
):
    job = tiny_job(trainer=HERE)
    (state,) = Queue(runs_dir, lambda states: None, time.monotonic()).run([job])
    assert (state.status, cluster.submitted) == ("waiting", [])
    called = []
    monkeypatch.setattr(module.subprocess, "run", lambda words, **rest: called.append(words))
    (state,) = Queue(runs_dir, lambda states: None, time.monotonic() + 0.2).run([job])
    assert state.status == "waiting"
    assert called == [["scancel", "--state=PENDING", "1_0"]]


def test_what_a_job_asks_for():
    trainer = Trainer(Accelerator.gpu, devices=4, slurm=Slurm(True, 60, "long", "lab", cpus=8))
    assert options(trainer) == {
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": 8,
        "partition": "long",
        "account": "lab",
        "gpus_per_node": 4,
    }
    assert "gpus_per_node" not in options(Trainer(Accelerator.cpu))


def test_the_plan_counts_the_jobs(cluster, tiny_job, runs_dir: Path):
    jobs = [detached(tiny_job(seed=seed)) for seed in range(3)]
    Queue(runs_dir, lambda states: None).run(jobs[:1])
    text = describe(replace(jobs[0].trainer, parallel=2), jobs, runs_dir)
    assert text.startswith("2 jobs to submit, at most 2 at once, each nodes=1 ntasks-per-node=1")
    assert text.endswith("time=720; 1 queued or running already")


def test_without_submitit(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"submitit is not installed.*ablations\[slurm\]"):
        check(HERE)


def test_without_slurm(monkeypatch):
    monkeypatch.setattr(module, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"no command sbatch here; .* or .* trainer=auto"):
        check(HERE)


def test_slurm_says_what_it_refuses(monkeypatch):
    monkeypatch.setattr(module, "which", lambda name: name)
    done = subprocess.CompletedProcess([], 1, "", "sbatch: error: invalid partition: nope\n")
    monkeypatch.setattr(module.subprocess, "run", lambda words, **rest: done)
    with pytest.raises(ConfigError, match=r"--partition=nope .*: invalid partition: nope; see"):
        check(replace(HERE, slurm=Slurm(True, partition="nope")))


@pytest.mark.parametrize(("key", "value"), [("minutes", 4), ("cpus", 0)])
def test_bad_values(key: str, value: int):
    with pytest.raises(ConfigError, match=f"trainer.slurm.{key}={value}: must be at least"):
        Slurm(**{key: value})


# submitit's executor of this machine


def local(output: Path, task: Task) -> submitit.Job:
    return submitit.LocalExecutor(output / ".slurm" / "%j").submit(task)


@pytest.mark.slow
def test_a_job_that_fails_says_why(tiny_job, runs_dir: Path):
    job = replace(tiny_job(trainer=HERE), store="nowhere")
    with pytest.raises(submitit.core.utils.FailedJobError, match="nowhere"):
        local(runs_dir, Task(runs_dir, job)).result()
