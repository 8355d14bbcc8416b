import socket
import subprocess

import pytest

from ablations.config import Accelerator, ConfigError, Slurm, Trainer
from ablations.launch import nodes as module
from ablations.launch.nodes import Link, Place, find_place, place_of, refuse_another_launcher

TWO = Trainer(Accelerator.cpu, num_nodes=2)


@pytest.fixture
def environment(monkeypatch):
    """Sets variables, and leaves none of those that a launcher would set."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "PET_NODE_RANK", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)

    def environment(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return environment


@pytest.fixture
def step(environment, monkeypatch):
    """A step of SLURM on two nodes, this being the second."""

    def run(words: list[str], **rest: object) -> subprocess.CompletedProcess:
        assert words == ["scontrol", "show", "hostnames", "n[7-8]"]
        return subprocess.CompletedProcess(words, 0, "n7\nn8\n", "")

    monkeypatch.setattr(module.subprocess, "run", run)
    environment(
        SLURM_JOB_ID="40",
        SLURM_STEP_ID="0",
        SLURM_STEP_NODELIST="n[7-8]",
        SLURM_STEP_NUM_NODES="2",
        SLURM_STEP_NUM_TASKS="2",
        SLURM_NODEID="1",
    )
    return environment


# Which node this is


def test_one_machine_needs_no_place(environment):
    environment(NODE_RANK="7")
    assert find_place([Trainer(), Trainer(devices=2)]) is None


def test_slurm_finds_the_nodes_of_its_jobs_itself(environment):
    assert find_place([Trainer(num_nodes=2, slurm=Slurm(submit=True))]) is None


def test_the_environment_names_the_node(environment):
    environment(MASTER_ADDR="a", NODE_RANK="1")
    assert find_place([TWO]) == Place(2, 1, "a", 29500)
    environment(MASTER_PORT="1234")
    assert find_place([TWO]) == Place(2, 1, "a", 1234)


def test_a_pod_of_a_pytorchjob_is_a_node(environment):
    environment(
        MASTER_ADDR="job-master-0",
        MASTER_PORT="23456",
        RANK="1",
        WORLD_SIZE="2",
        PET_NODE_RANK="1",
        PET_NNODES="2",
    )
    assert find_place([TWO]) == Place(2, 1, "job-master-0", 23456)
    environment(LOCAL_RANK="0")
    with pytest.raises(ConfigError, match="RANK=1 is set, as torchrun does"):
        find_place([TWO])


def test_a_step_of_slurm_names_the_node(step):
    place = find_place([TWO])
    assert place is not None
    assert (place.rank, place.address) == (1, "n7")
    first = place.port
    step(SLURM_JOB_ID="41")
    assert place_of(2).port != first  # jobs that share a node
    step(MASTER_ADDR="b", MASTER_PORT="5")  # as many job scripts do
    assert place_of(2) == Place(2, 1, "b", 5)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, r"nodes=2 needs .*: MASTER_ADDR and NODE_RANK are not set; set MASTER_ADDR=HOST"),
        ({"MASTER_ADDR": "a"}, "NODE_RANK is not set; set MASTER_ADDR=.* NODE_RANK=0 to 1, see"),
        ({"NODE_RANK": "0"}, "MASTER_ADDR is not set"),
        ({"SLURM_JOB_ID": "4"}, "inside a job of SLURM, start it with srun --ntasks-per-node=1"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "2"}, "NODE_RANK=2: must be 0 to 1"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "-1"}, "NODE_RANK=-1: must be 0 to 1"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "0", "MASTER_PORT": "x"}, "MASTER_PORT=x: must be"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "0", "MASTER_PORT": "0"}, "MASTER_PORT=0: must be"),
        ({"MASTER_ADDR": "a", "NODE_RANK": "0", "RANK": "0"}, "RANK=0 is set, as torchrun does"),
    ],
)
def test_an_environment_that_does_not_do(variables: dict[str, str], message: str, environment):
    environment(**variables)
    with pytest.raises(ConfigError, match=message):
        find_place([TWO])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "SLURM_STEP_NUM_TASKS",
            "but srun started 4 tasks; use srun --nodes=2 --ntasks-per-node=1",
        ),
        ("SLURM_STEP_NUM_NODES", "but srun uses 4 nodes; use srun --nodes=2"),
    ],
)
def test_a_step_of_another_size(name: str, message: str, step):
    step(**{name: "4"})
    with pytest.raises(ConfigError, match=message):
        place_of(2)


def test_runs_on_differently_many_nodes(environment):
    with pytest.raises(ConfigError, match=r"trainer.num_nodes=1,2: all runs of a command share"):
        find_place([TWO, Trainer()])


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE"])
def test_torchrun_around_the_command_is_refused(name: str, monkeypatch):
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PET_NODE_RANK", "1")  # of no use on one node
    with pytest.raises(ConfigError, match=f"{name}=1 is set.*start the command once per node"):
        refuse_another_launcher()


def test_several_slurm_tasks_on_a_node_are_refused(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    with pytest.raises(ConfigError, match="once per node, with --ntasks-per-node=1"):
        refuse_another_launcher()


@pytest.mark.parametrize("tasks", [None, "1"])
def test_one_command_on_a_node_is_right(tasks: str | None, monkeypatch):
    if tasks:
        monkeypatch.setenv("SLURM_NTASKS_PER_NODE", tasks)
    refuse_another_launcher()


# How they talk


@pytest.fixture
def pair():
    """Two ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        one = socket.create_connection(door.getsockname())
        other, _ = door.accept()
    ends = Link(one), Link(other)
    yield ends
    for end in ends:
        end.close()


def test_messages_arrive_whole_and_in_order(pair):
    one, other = pair
    one.send(run="a" * 200_000)
    one.send(over=True)
    assert other.receive(1.0) == {"run": "a" * 200_000}
    assert other.receive(1.0) == {"over": True}
    assert other.receive(0) is None
    assert not other.closed


def test_last_words_are_heard_before_the_end(pair):
    one, other = pair
    one.send(welcome=True)
    one.send(end=3)
    one.close()
    assert [other.receive(1.0) for _ in range(3)] == [{"welcome": True}, {"end": 3}, None]
    assert other.closed


@pytest.mark.parametrize("words", [b"GET / HTTP/1.0\n", b"[1]\n", b"\xff\n", b"x" * 1_000_001])
def test_what_is_no_node_is_cut_off(words: bytes, pair):
    one, other = pair
    one.connection.sendall(words)
    assert other.receive(1.0) is None
    assert other.closed


def test_a_lost_connection_shows_when_sending(pair):
    one, other = pair
    other.close()
    for _ in range(50):
        one.send(over=True)
    assert one.closed
