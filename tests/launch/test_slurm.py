import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import submitit
from commands import Interrupted, folder_of, has_begun, numbers, numbers_of, records
from slurm_cluster import Cluster

from ablations.config import Accelerator, ConfigError, Job, Slurm, Trainer
from ablations.launch import slurm as module
from ablations.launch.slurm import Queue, check, describe
from ablations.launch.slurm_task import Task
from ablations.record import load

HERE = Trainer(Accelerator.cpu, threads=1, checkpoint_steps=1, slurm=Slurm(submit=True, cpus=1))


class FakeCluster:
    """A SLURM cluster as a table of job states; every submitted run is a queued job.

    Attributes:
        table: State by job.
        submitted: Seeds of each array.
        cancelled: Arguments of ``scancel``.
        away: Whether SLURM does not answer.
    """

    def __init__(self, monkeypatch, record) -> None:
        self.record = record
        self.table: dict[str, str] = {}
        self.submitted: list[list[int]] = []
        self.cancelled: list[list[str]] = []
        self.away = False
        monkeypatch.setattr(module, "submit", self.submit)
        monkeypatch.setattr(module.subprocess, "run", self.run)
        for name in ("STATE_SECONDS", "CHECK_SECONDS", "SETTLE_SECONDS"):
            monkeypatch.setattr(module, name, 0.0)

    def submit(self, output: Path, trainer, folders) -> list[str]:
        self.submitted.append([Job.load(folder).run.seed for folder in folders])
        names = [f"{len(self.submitted)}_{number}" for number in range(len(folders))]
        self.table |= dict.fromkeys(names, "PENDING")
        return names

    def run(self, words: list[str], **rest) -> subprocess.CompletedProcess:
        if words[0] == "scancel":
            self.cancelled.append(words[1:])
        lines = "".join(f"{name} {state}\n" for name, state in self.table.items())
        return subprocess.CompletedProcess(words, int(self.away), lines, "squeue: error: no answer")

    def finish(self, output: Path, job) -> None:
        """Write the record of a run."""
        run = job.run
        found = replace(self.record, run_id=run.run_id, differences=run.differences, seed=run.seed)
        found.save(output / run.run_id)


@pytest.fixture
def cluster(monkeypatch, record) -> FakeCluster:
    """Replace SLURM by a table of jobs."""
    return FakeCluster(monkeypatch, record)


def unwatched(states) -> None:
    pass


def detached(job):
    trainer = replace(job.trainer, slurm=Slurm(submit=True, detach=True))
    return replace(job, trainer=trainer)


def test_a_command_that_comes_back_submits_only_what_slurm_does_not_have(
    cluster, tiny_job, runs_dir: Path
):
    jobs = [detached(tiny_job(seed=seed)) for seed in range(3)]

    def again() -> list[str]:
        return [state.status for state in Queue(runs_dir, unwatched).run(jobs)]

    assert again() == again() == ["queued"] * 3
    assert cluster.submitted == [[0, 1, 2]]
    cluster.table |= {"1_0": "RUNNING", "1_1": "CANCELLED"}
    del cluster.table["1_2"]  # like a job of an array that is cancelled while queued
    assert again() == ["running", "queued", "queued"]
    assert cluster.submitted == [[0, 1, 2], [1, 2]]
    text = describe(replace(jobs[0].trainer, parallel=2), [*jobs, tiny_job(seed=3)], runs_dir)
    assert text.startswith("1 job to submit, at most 2 at once, each nodes=1 ntasks-per-node=1")
    assert text.endswith("time=720; 3 queued or running already")
    cluster.away = True
    with pytest.raises(ConfigError, match=r"^trainer=slurm: `squeue .*: no answer"):
        again()


@pytest.mark.parametrize("said", ["NODE_FAIL", "COMPLETED", ""])
def test_a_job_that_ends_without_a_record_has_failed(said, cluster, tiny_job, runs_dir: Path):
    def watch(states) -> None:
        before = cluster.table.pop("1_0", said)
        if after := "RUNNING" if before == "PENDING" else said:
            cluster.table["1_0"] = after

    (state,) = Queue(runs_dir, watch).run([tiny_job(trainer=HERE)])
    assert state.status == "failed"
    assert f"job 1_0: {said or 'no longer known'}; see" in state.tail


def test_a_record_may_be_seen_after_its_job_has_ended(
    cluster, tiny_job, runs_dir: Path, monkeypatch
):
    monkeypatch.setattr(module, "SETTLE_SECONDS", 30.0)
    job = tiny_job(trainer=HERE)
    seen = []

    def watch(states) -> None:
        seen.append(states[0].status)
        cluster.table["1_0"] = "COMPLETED"
        if len(seen) == 4:
            cluster.finish(runs_dir, job)

    Queue(runs_dir, watch).run([job])
    assert seen == ["queued"] * 4 + ["finished"]


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


def test_jobs_go_on_without_the_command(cluster, tiny_job, runs_dir: Path, capsys):
    with pytest.raises(SystemExit) as stopped:
        Queue(runs_dir, lambda states: os.kill(os.getpid(), signal.SIGINT)).run(
            [tiny_job(trainer=HERE)]
        )
    assert stopped.value.code == 128 + signal.SIGINT
    said = capsys.readouterr().err
    assert said.startswith("1 job ")
    assert "`scancel 1`" in said
    assert cluster.cancelled == []


def test_nothing_is_submitted_after_the_deadline_and_the_queued_is_taken_back(
    cluster, tiny_job, runs_dir: Path
):
    job = tiny_job(trainer=HERE)
    (state,) = Queue(runs_dir, unwatched, time.monotonic()).run([job])
    assert (state.status, cluster.submitted) == ("waiting", [])
    (state,) = Queue(runs_dir, unwatched, time.monotonic() + 0.2).run([job])
    assert state.status == "waiting"
    assert cluster.cancelled == [["--state=PENDING", "1_0"]]


@pytest.mark.parametrize(
    ("package", "command", "refuses", "message"),
    [
        (False, True, None, r"submitit is not installed.*ablations\[slurm\]"),
        (True, False, None, r"^trainer=slurm: .* sbatch .*; next step: .* trainer=auto"),
        (True, True, "sbatch", r"`sbatch .*--partition=nope .*`.*: it does not like it; next step"),
        (True, True, None, None),
    ],
)
def test_slurm_itself_says_what_it_takes(package, command, refuses, message, monkeypatch):
    def run(words: list[str], **rest) -> subprocess.CompletedProcess:
        refused = words[0] == refuses
        said = f"{words[0]}: error: it does not like it\n" if refused else ""
        return subprocess.CompletedProcess(words, int(refused), "", said)

    monkeypatch.setattr(module, "find_spec", lambda name: package or None)
    monkeypatch.setattr(module, "which", lambda name: name if command else None)
    monkeypatch.setattr(module.subprocess, "run", run)
    trainer = replace(HERE, slurm=Slurm(True, partition="nope"))
    if message is None:
        check(trainer)
    else:
        with pytest.raises(ConfigError, match=message):
            check(trainer)


# The task of a job


@pytest.mark.slow
def test_a_job_that_fails_says_why(tiny_job, runs_dir: Path):
    job = replace(tiny_job(trainer=HERE), store="nowhere")
    folder = runs_dir / job.run.run_id
    folder.mkdir()
    job.save(folder)
    task = submitit.LocalExecutor(runs_dir / ".slurm" / "%j").submit(Task(folder))
    with pytest.raises(submitit.core.utils.FailedJobError, match="nowhere"):
        task.result()
    assert load(folder) is None


@pytest.mark.parametrize("progress", [True, False])
def test_a_job_that_has_to_go_is_queued_again_if_it_made_progress(progress, tmp_path: Path):
    task = Task(tmp_path)
    task.process, task.before = subprocess.Popen(["sleep", "60"]), []
    if progress:
        (tmp_path / "last.ckpt").touch()
    assert (task.checkpoint() is not None) is progress
    assert task.process.wait() == -signal.SIGTERM


# A controller and nodes on this machine


@pytest.fixture
def submit(start, tiny, slurm: Cluster):
    """Start a command that submits its runs to the cluster on this machine."""

    def submit(*arguments: str, **variables: str):
        words = ("-m", "trainer=slurm", "trainer.accelerator=cpu", "trainer.threads=1")
        limits = ("trainer.slurm.cpus=1", "trainer.slurm.minutes=10")
        tiny_run = tiny[2:]  # the first two choose the trainer
        return start(*words, *limits, *tiny_run, *arguments, **slurm.environment, **variables)

    yield submit
    for node in slurm.ask("sinfo", "--noheader", "--Node", "--states=drain", "--format=%N").split():
        slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")


OFFLINE = {"WANDB_MODE": "offline"}


def name_of(seed: int) -> str:
    """Return the SLURM job id of a run; empty if it has none."""
    folder = folder_of(seed)
    path = folder / "slurm.json" if folder else None
    return json.loads(path.read_text())["job"] if path and path.exists() else ""


@pytest.mark.slow
def test_four_runs_of_which_one_is_cancelled_on_two_nodes_of_which_one_is_drained(
    submit, slurm: Cluster
):
    arguments = ("seed=0,1,2,3", "recipe.epochs=4")
    command = submit(*arguments)
    command.wait_until(lambda: all(map(name_of, range(4))))
    jobs = [name_of(seed) for seed in range(4)]
    assert len({name.partition("_")[0] for name in jobs}) == 1  # one array
    slurm.ask("scancel", jobs[3])  # while it is queued
    first, second = slurm.nodes
    running = {f"RUNNING {first}", f"RUNNING {second}"}
    command.wait_until(lambda: {slurm.queue()[jobs[seed]] for seed in (0, 1)} == running)
    slurm.ask("scontrol", "update", f"nodename={second}", "state=drain", "reason=test")
    assert command.finish().code == 1, command.err
    assert "4 jobs to submit, each nodes=1 ntasks-per-node=1 cpus-per-task=1" in command.out
    assert f"job {jobs[3]}: no longer known" in command.out
    assert "1 of 4 runs failed" in command.err
    assert sorted(records()) == [0, 1, 2]
    # The running job ended on the drained node; the queued one ran on the other.
    assert slurm.ended()[jobs[2]] == f"COMPLETED {first}"

    again = submit(*arguments).finish()
    assert again.code == 0, again.err
    assert "4 runs, 3 finished before, 1 to train" in again.out
    assert "1 job to submit" in again.out
    assert sorted(records()) == [0, 1, 2, 3]
    slurm.ended()
    assert not again.left_over(20)


@pytest.mark.slow
def test_a_job_that_has_to_go_continues_as_the_same_run_of_wandb(submit, slurm: Cluster):
    command = submit(
        "seed=7", "recipe.epochs=60", "logger=wandb", "trainer.checkpoint_steps=1", **OFFLINE
    )
    command.wait_until(has_begun(seed=7, epochs=3))
    name, folder = name_of(7), folder_of(7)
    assert folder is not None
    # The signal of the controller two minutes before the limit, and on preemption.
    slurm.ask("scancel", "--signal=USR2", name)
    command.wait_until(lambda: slurm.queue()[name].startswith("PENDING"))
    before = Interrupted(folder)
    assert len(before.kept) >= 3
    assert command.finish().code == 0, command.out + command.err
    before.assert_continued(60)
    assert "Restarts=1" in slurm.ask("scontrol", "show", "job", name)
    logged = sorted(path.name for path in folder.rglob("*.wandb"))
    assert set(logged) == {f"run-{folder.name}.wandb"}
    assert len(logged) == 2  # one before and one after, with the same id


@pytest.mark.slow
def test_a_run_on_two_nodes_survives_the_loss_of_one(submit, slurm: Cluster):
    arguments = ("trainer.num_nodes=2", "seed=3", "recipe.epochs=60", "trainer.checkpoint_steps=1")
    command = submit(*arguments)
    command.wait_until(has_begun(seed=3))
    name, folder = name_of(3), folder_of(3)
    assert folder is not None
    assert slurm.queue()[name] == "RUNNING 127.0.0.[1-2]"
    slurm.ask("scontrol", "update", f"nodename={slurm.nodes[1]}", "state=down", "reason=test")
    command.wait_until(lambda: not slurm.queue()[name].startswith("RUNNING"))
    before = Interrupted(folder)  # the node returns by itself
    if command.finish().code:
        assert f"job {name}: NODE_FAIL" in command.out
        command = submit(*arguments).finish()
    assert command.code == 0, command.out + command.err
    before.assert_continued(60)
    assert records()[3].hardware.devices == 2
    assert slurm.ended()[name_of(3)] == "COMPLETED 127.0.0.[1-2]"


@pytest.mark.slow
def test_a_sweep_inside_an_allocation_of_two_nodes(start, tiny, slurm: Cluster):
    words = ("salloc", "--nodes=2", "--ntasks-per-node=1")
    arguments = ("-m", *tiny, "seed=0,1", "trainer.num_nodes=2")
    command = start(*arguments, before=words, **slurm.environment).finish()
    assert command.code == 0, command.out + command.err
    assert {seed: one.hardware.devices for seed, one in records().items()} == {0: 2, 1: 2}
    assert not command.left_over(5)


@pytest.mark.slow
def test_hydras_launcher_for_slurm_gives_the_same_records(start, tiny, record, slurm: Cluster):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    words = ("hydra/launcher=submitit_slurm", "hydra.launcher.cpus_per_task=1")
    done = start("-m", *tiny, "seed=0,1", *words, **slurm.environment).finish()
    assert done.code == 0, done.out + done.err
    found = numbers()
    assert sorted(found) == [0, 1]
    assert found[0] == numbers_of(record)
    assert len(slurm.ended()) >= 2
    assert not done.left_over(20)
