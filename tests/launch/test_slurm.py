import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from slurm_cluster import Cluster

from ablations.callbacks import CHECKPOINT
from ablations.config import Accelerator, ConfigError, Job, Slurm, Trainer
from ablations.launch import slurm as module
from ablations.launch.slurm import Queue, check, describe, options
from ablations.record import load

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
            run = job.run
            found = replace(record, run_id=run.run_id, differences=run.differences, seed=run.seed)
            found.save(output / run.run_id)

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
        if states[0].status == "queued":
            cluster.table["1_0"] = "RUNNING"
        elif said:
            cluster.table["1_0"] = said
        else:
            cluster.table.clear()

    (state,) = Queue(runs_dir, watch).run([tiny_job(trainer=HERE)])
    assert state.status == "failed"
    assert f"SLURM's job 1_0: {said or 'not known any more'}" in state.tail


def test_a_job_that_is_cancelled_before_it_begins_says_so(cluster, tiny_job, runs_dir: Path):
    # Of an array's jobs SLURM keeps no word then.
    (state,) = Queue(runs_dir, lambda states: cluster.table.clear()).run([tiny_job(trainer=HERE)])
    assert state.status == "failed"
    assert "SLURM's job 1_0: cancelled before it began" in state.tail


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
        "cpus_per_task": 32,
        "partition": "long",
        "account": "lab",
        "gpus_per_node": 4,
    }
    assert "gpus_per_node" not in options(Trainer(Accelerator.cpu))


def test_a_job_on_several_nodes_has_a_task_on_each():
    found = options(Trainer(Accelerator.gpu, devices=4, num_nodes=2))
    assert (found["nodes"], found["ntasks_per_node"], found["gpus_per_node"]) == (2, 1, 4)


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


# A controller and nodes on this machine


@pytest.fixture
def submit(start, tiny, slurm: Cluster):
    """Starts a command that hands its runs to the cluster on this machine."""

    def submit(*arguments: str, **variables: str):
        words = ("trainer=slurm", "trainer.accelerator=cpu", "trainer.threads=1")
        limits = ("trainer.slurm.cpus=1", "trainer.slurm.minutes=10")
        tiny_run = tiny[2:]  # the first two choose the trainer
        return start(*words, *limits, *tiny_run, *arguments, **slurm.environment, **variables)

    yield submit
    for node in slurm.ask("sinfo", "--noheader", "--Node", "--states=drain", "--format=%N").split():
        slurm.ask("scontrol", "update", f"nodename={node}", "state=resume")


OFFLINE = {"WANDB_MODE": "offline"}


def names(output: str = "runs") -> dict[int, str]:
    """Names of SLURM's jobs, by seed."""
    found = {}
    for path in Path(output).glob("*/slurm.json"):
        found[Job.load(path.parent).run.seed] = json.loads(path.read_text())["job"]
    return found


def progress(key: str) -> float:
    """What the run says of itself."""
    found = [json.loads(path.read_text()) for path in Path("runs").glob("*/progress.json")]
    return found[0].get(key, 0.0) if found else 0.0


def seeds(output: str = "runs") -> list[int]:
    """Seeds of the runs that have a record."""
    return sorted(json.loads(p.read_text())["seed"] for p in Path(output).glob("*/record.json"))


@pytest.mark.slow
def test_six_runs_of_which_one_is_cancelled_on_two_nodes_of_which_one_is_drained(
    submit, slurm: Cluster
):
    arguments = ("-m", "seed=0,1,2,3,4,5", "recipe.epochs=4")
    command = submit(*arguments)
    command.wait_until(lambda: len(names()) == 6)
    jobs = names()
    assert len({name.partition("_")[0] for name in jobs.values()}) == 1  # one array
    first, second = slurm.nodes
    command.wait_until(
        lambda: (
            {slurm.queue()[jobs[seed]] for seed in (0, 1)}
            == {f"RUNNING {node}" for node in slurm.nodes}
        )
    )
    slurm.ask("scancel", jobs[4])
    slurm.ask("scontrol", "update", f"nodename={second}", "state=drain", "reason=test")
    print(slurm.ask("squeue", "--array"), slurm.ask("sinfo"), sep="\n")
    assert command.finish().code == 1, command.err
    print(command.out, slurm.ask("squeue", "--array", "--states=all"), sep="\n")
    assert "6 jobs to submit, each nodes=1 ntasks-per-node=1 cpus-per-task=1" in command.out
    assert f"SLURM's job {jobs[4]}: cancelled before it began" in command.out
    assert "1 of 6 runs failed; the same command repeats them" in command.out
    assert seeds() == [0, 1, 2, 3, 5]
    # What was running on the drained node has ended there; what was queued went to the other.
    ended = slurm.ended()
    assert {ended[jobs[seed]] for seed in (2, 3, 5)} == {f"COMPLETED {first}"}

    again = submit(*arguments).finish()
    assert again.code == 0, again.err
    print(again.out)
    assert "6 runs, 5 finished before, 1 to train" in again.out
    assert "1 job to submit" in again.out
    assert seeds() == [0, 1, 2, 3, 4, 5]
    before = slurm.ended()
    last = submit(*arguments).finish()
    assert (last.code, slurm.ended()) == (0, before)
    assert "6 runs, 6 finished before" in last.out
    assert not command.left_over(5)


@pytest.mark.slow
def test_a_job_that_has_to_go_continues_as_the_same_run_of_wandb(submit, slurm: Cluster):
    command = submit(
        "seed=7", "recipe.epochs=150", "logger=wandb", "trainer.checkpoint_steps=1", **OFFLINE
    )
    command.wait_until(lambda: progress("epoch") >= 3)
    (name,) = names().values()
    # What the controller does two minutes before the limit, and when it needs the node.
    slurm.ask("scancel", "--signal=USR2", name)
    command.wait_until(lambda: slurm.queue()[name].startswith("PENDING"))
    (folder,) = (path.parent for path in Path("runs").glob(f"*/{CHECKPOINT}"))
    kept = torch.load(folder / CHECKPOINT, weights_only=False)["ablations"]["curve"]
    assert len(kept) >= 3
    assert command.finish().code == 0, command.out + command.err
    record = load(folder)
    assert record is not None
    assert len(record.curve) == 150
    # Training times are measured: equal ones were not measured again.
    assert [point.seconds for point in record.curve[: len(kept)]] == [p["seconds"] for p in kept]
    assert "Restarts=1" in slurm.ask("scontrol", "show", "job", name)
    logged = sorted(path.name for path in folder.rglob("*.wandb"))
    assert set(logged) == {f"run-{folder.name}.wandb"}
    assert len(logged) == 2  # before and after, of one run


@pytest.mark.slow
def test_a_run_on_two_nodes_of_slurm(submit, slurm: Cluster):
    command = submit("trainer.num_nodes=2", "seed=3").finish()
    assert command.code == 0, command.out + command.err
    assert "1 job to submit, each nodes=2 ntasks-per-node=1" in command.out
    (path,) = Path("runs").glob("*/record.json")
    assert json.loads(path.read_text())["hardware"]["devices"] == 2
    (name,) = names().values()
    assert slurm.ended()[name] == "COMPLETED 127.0.0.[1-2]"


@pytest.mark.slow
def test_a_sweep_inside_an_allocation_of_two_nodes(start, tiny, slurm: Cluster):
    words = ("srun", "--nodes=2", "--ntasks-per-node=1", "--kill-on-bad-exit=1")
    command = start(
        *tiny, "-m", "seed=0,1", "trainer.num_nodes=2", before=words, **slurm.environment
    )
    assert command.finish().code == 0, command.out + command.err
    assert seeds() == [0, 1]
    assert "node 1 of 2 follows 127.0.0.1:" in command.out


@pytest.mark.slow
def test_slurm_refuses_what_the_cluster_does_not_have(submit):
    command = submit("trainer.num_nodes=3").finish(60)
    assert command.code == 1
    assert command.err.startswith("error: trainer=slurm: SLURM refuses `--nodes=3")
    assert command.err.count("\n") == 1
