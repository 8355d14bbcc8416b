import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ablations.config import Config, ConfigError, Job
from ablations.launch import nodes as module
from ablations.launch import task
from ablations.launch.nodes import (
    Nodes,
    await_plan,
    nodes_of_step,
    refuse_another_launcher,
    tell_nodes,
)


@pytest.fixture
def step(monkeypatch):
    """A SLURM step whose second node this is; a call changes environment variables."""

    def change(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    change(
        SLURM_JOB_ID="40",
        SLURM_STEP_ID="0",
        SLURM_STEP_NODELIST="n[7-8]",
        SLURM_STEP_NUM_NODES="2",
        SLURM_STEP_NUM_TASKS="2",
        SLURM_NODEID="1",
    )
    return change


# The nodes of a step


def test_a_step_of_slurm_names_the_node(step):
    nodes = nodes_of_step(2)
    assert nodes is not None
    assert (nodes.count, nodes.rank, nodes.hosts) == (2, 1, "n[7-8]")


def test_one_machine_and_one_outside_of_slurm_have_no_nodes(step, monkeypatch):
    assert nodes_of_step(1) is None
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    assert nodes_of_step(2) is None


def test_nodes_agree_on_where_they_meet_and_nobody_else_meets_there(step, monkeypatch):
    def fresh() -> Nodes:  # as in a process of its own
        monkeypatch.setattr(module, "_calls", iter([0]))
        nodes = nodes_of_step(2)
        assert nodes is not None
        return nodes

    second = fresh()
    step(SLURM_NODEID="0")
    first = fresh()
    assert (first.rank, first.step) == (0, second.step)
    assert first.port("a") == second.port("a")
    others = []
    monkeypatch.setattr(module.sys, "argv", ["run.py", "-m", "seed=7"])  # next command
    others.append(fresh())
    for name in ("SLURM_STEP_ID", "SLURM_RESTART_COUNT", "SLURM_JOB_ID"):
        step(**{name: "3"})
        others.append(fresh())
    monkeypatch.setattr(module, "_calls", iter([1]))  # another plan of the command
    others.append(nodes_of_step(2))
    assert len({nodes.step for nodes in (first, *others)}) == 6
    ports = {nodes.port(run) for nodes in (first, *others) for run in ("a", "b")}
    assert len(ports) == 12
    assert all(1024 < port < 32768 for port in ports)  # below the ephemeral ports of Linux


@pytest.mark.parametrize("name", ["SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_NODES"])
def test_a_step_of_another_size(name: str, step):
    step(**{name: "4"})
    with pytest.raises(ConfigError, match=f"{name}=4 .* srun --nodes=2 --ntasks-per-node=1"):
        nodes_of_step(2)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("RANK", "1", "^RANK=1: .*trainer=ddp.*unset RANK"),
        ("WORLD_SIZE", "2", "^WORLD_SIZE=2: .*trainer=ddp.*unset WORLD_SIZE"),
        ("SLURM_NTASKS_PER_NODE", "4", "^SLURM_NTASKS_PER_NODE=4: .* --ntasks-per-node=1"),
        ("SLURM_NTASKS_PER_NODE", "1(x2)", None),  # one on each node
    ],
)
def test_a_command_is_started_once_per_node(name, value, message, monkeypatch):
    refuse_another_launcher()
    monkeypatch.setenv(name, value)
    if message is None:
        refuse_another_launcher()
    else:
        with pytest.raises(ConfigError, match=message):
            refuse_another_launcher()


# The plan of node 0

FIRST = Nodes(2, 0, "n[7-8]", "40-0")


@pytest.mark.parametrize("run_ids", [[], ["a", "b"]])
def test_the_others_wait_for_the_runs_of_node_0(run_ids: list[str], runs_dir: Path):
    later = threading.Timer(0.2, tell_nodes, (FIRST, runs_dir, run_ids))
    later.start()
    assert await_plan(replace(FIRST, rank=1), runs_dir) == run_ids
    later.join()


def test_another_step_has_another_plan_and_nobody_waits_forever(runs_dir: Path, monkeypatch):
    tell_nodes(FIRST, runs_dir, ["a"])
    monkeypatch.setattr(module, "JOIN_SECONDS", 0.1)
    with pytest.raises(ConfigError, match=rf"^output={runs_dir}: node 1 .*40-1\.json"):
        await_plan(replace(FIRST, rank=1, step="40-1"), runs_dir)


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_node_1_trains_what_node_0_names(
    status, tiny_config: Config, tiny_job, runs_dir: Path, monkeypatch, capsys
):
    jobs = [tiny_job(seed=seed) for seed in (1, 0)]
    for job in jobs:
        (runs_dir / job.run.run_id).mkdir()
        job.save(runs_dir / job.run.run_id)
    nodes, begun = Nodes(2, 1, "a", "1"), []

    def start(output: Path, jobs: list[Job], *rest, nodes: Nodes) -> list[task.RunState]:
        begun.extend(job.run.seed for job in jobs)
        return [task.RunState(job, output / job.run.run_id, status) for job in jobs]

    monkeypatch.setattr(task, "nodes_of_step", lambda count: nodes)
    monkeypatch.setattr(task, "await_plan", lambda *given: [job.run.run_id for job in jobs])
    monkeypatch.setattr(task, "start", start)
    outcomes = task.train_all(
        [replace(tiny_config, output=str(runs_dir), seed=n) for n in (0, 1, 2)]
    )
    assert begun == [1, 0]
    assert len(outcomes) == 3
    failed = all(isinstance(one, task.RunsFailed) for one in outcomes)
    assert failed is (status == "failed")
    assert capsys.readouterr().out == ""  # node 0 shows everything


def test_runs_of_a_command_share_its_nodes(tiny_config: Config):
    more = replace(tiny_config, trainer=replace(tiny_config.trainer, num_nodes=2))
    with pytest.raises(ConfigError, match=r"trainer.num_nodes: all runs of a sweep share it"):
        task.train_all([tiny_config, more])
