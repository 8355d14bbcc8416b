import socket
import threading
import time
from pathlib import Path

import pytest

from ablations.config import ConfigError
from ablations.launch import leader as module
from ablations.launch.leader import Leader
from ablations.launch.nodes import Link, Place


class Node:
    """The other end, which says what it is told to."""

    def __init__(self, team: Leader) -> None:
        self.link = Link(socket.create_connection(("127.0.0.1", team.place.port)))
        self.team = team

    def hear(self) -> dict:
        for _ in range(100):
            self.team.poll()
            if message := self.link.receive(0.05):
                return message
        return {}

    def join(self, rank: int = 1, nodes: int = 2) -> dict:
        token = (self.team.output / self.hear()["proof"]).read_text()
        self.link.send(node=rank, nodes=nodes, token=token)
        return self.hear()


@pytest.fixture
def team(runs_dir: Path, port: int):
    """Node 0 of two; what it says is in ``team.lines``."""
    lines: list[str] = []
    with Leader(Place(2, 0, "127.0.0.1", port), runs_dir, lines.append) as team:
        team.lines = lines
        yield team
        for link in team.links.values():
            link.close()
        team.place = Place(1, 0, "127.0.0.1", port)  # nobody to wait for


@pytest.fixture
def arrive(team: Leader):
    """Makes a node that has connected."""
    nodes: list[Node] = []

    def arrive() -> Node:
        nodes.append(Node(team))
        return nodes[-1]

    yield arrive
    for node in nodes:
        node.link.close()


def test_a_node_joins_and_trains(arrive, team: Leader, runs_dir: Path):
    assert not team.ready()
    assert "waiting for node 1 of 2, with MASTER_ADDR=127.0.0.1 MASTER_PORT=" in team.lines[0]
    node = arrive()
    assert node.join() == {"welcome": True}
    assert team.ready()
    meeting = team.announce(runs_dir / "abc", "cpu")
    assert (meeting.nodes, meeting.rank, meeting.address) == (2, 0, "127.0.0.1")
    assert node.hear() == {"run": "abc", "port": meeting.port, "accelerator": "cpu"}
    node.link.send(done=0, tail="")
    assert team.conclude() == ""


def test_a_run_that_fails_elsewhere_is_told(arrive, team: Leader, runs_dir: Path):
    node = arrive()
    node.join()
    team.announce(runs_dir / "abc", "cpu")
    node.link.send(done=1, tail="ZeroDivisionError")
    deadline = time.monotonic() + 5
    while not team.trouble and time.monotonic() < deadline:
        team.poll()
    assert team.conclude() == "node 1: ZeroDivisionError"
    team.announce(runs_dir / "def", "cpu")
    assert team.trouble == []  # of an earlier run


def test_a_lost_node_is_trouble_for_its_run_and_may_come_back(arrive, team: Leader, runs_dir: Path):
    node = arrive()
    node.join()
    team.announce(runs_dir / "abc", "cpu")
    node.link.close()
    assert team.conclude() == "node 1 was lost while it trained this run"
    assert "node 1 is lost" in team.lines
    assert not team.ready()
    assert arrive().join() == {"welcome": True}
    assert team.ready()


def test_a_node_that_does_not_end_is_given_up(arrive, team: Leader, runs_dir: Path, monkeypatch):
    monkeypatch.setattr(module, "OVER_SECONDS", 0.3)
    node = arrive()
    node.join()
    team.announce(runs_dir / "abc", "cpu")
    assert "lost" in team.conclude()
    assert team.missing == [1]


@pytest.mark.parametrize(
    ("rank", "nodes", "reason"),
    [
        (1, 3, "it was started with trainer.num_nodes=3, node 0 with 2"),
        (2, 2, "NODE_RANK=2 is not one of 1 to 1"),
        (0, 2, "NODE_RANK=0 is not one of 1 to 1"),
    ],
)
def test_a_node_that_does_not_fit_is_refused(
    arrive, rank: int, nodes: int, reason: str, team: Leader
):
    assert arrive().join(rank, nodes) == {"refused": reason}
    assert not team.ready()


def test_two_nodes_of_one_rank(arrive, team: Leader):
    first, second = arrive(), arrive()
    first.join()
    assert second.join() == {"refused": "there is a node with NODE_RANK=1 already"}


def test_who_has_not_read_the_folder_is_refused(arrive, team: Leader):
    node = arrive()
    node.hear()
    node.link.send(node=1, nodes=2, token="guessed")
    assert node.hear() == {"refused": "it has not read the folder of the runs"}


def test_what_hinders_a_node_ends_node_0_as_well(arrive, team: Leader):
    node = arrive()
    node.hear()
    node.link.send(node=1, nodes=2, error="output=/x cannot be read here")
    with pytest.raises(ConfigError, match="node 1: output=/x cannot be read here"):
        node.hear()


def test_nodes_that_do_not_come(team: Leader, monkeypatch):
    monkeypatch.setattr(module, "JOIN_SECONDS", 0.1)
    assert not team.ready()
    time.sleep(0.2)
    with pytest.raises(ConfigError, match=r"node 1 of 2 did not come .* start the same command"):
        team.ready()


def test_a_stranger_is_no_node(team: Leader):
    with socket.create_connection(("127.0.0.1", team.place.port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.0\r\n\r\n")
        for _ in range(20):
            assert not team.ready()
            time.sleep(0.01)
    assert team.strangers == []


def test_a_port_that_is_taken(team: Leader, runs_dir: Path):
    with pytest.raises(ConfigError, match=f"MASTER_PORT={team.place.port}: node 0 cannot listen"):
        Leader(team.place, runs_dir)


def test_the_others_end_as_node_0_does_also_with_nothing_to_train(runs_dir: Path, port: int):
    place = Place(2, 0, "127.0.0.1", port)
    heard: list[dict] = []

    def late() -> None:
        time.sleep(0.3)
        link = Link(socket.create_connection(("127.0.0.1", place.port)))
        while message := link.receive(10.0):
            heard.append(message)
            if "proof" in message:
                token = (runs_dir / message["proof"]).read_text()
                link.send(node=1, nodes=2, token=token)
        link.close()

    node = threading.Thread(target=late)
    with Leader(place, runs_dir) as team:
        team.code = 3
        node.start()
    node.join(10)
    assert heard[1:] == [{"welcome": True}, {"end": 3}]
    assert list(runs_dir.iterdir()) == []


def test_after_an_error_nobody_is_waited_for(runs_dir: Path, port: int):
    began = time.monotonic()
    with pytest.raises(KeyError), Leader(Place(2, 0, "127.0.0.1", port), runs_dir):
        raise KeyError
    assert time.monotonic() - began < 5
