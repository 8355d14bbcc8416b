"""Several machines for one run: which of them this is, and how they talk to each other.

The command is started once on each node. Node 0 decides what is trained; the others follow it.
"""

import json
import os
import select
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ablations.config import ConfigError, Trainer

# Nodes of one job start minutes apart: images are pulled, file systems mounted.
JOIN_SECONDS = 600.0
DEFAULT_PORT = 29500  # torchrun's
_SILENT_SECONDS = 10.0
_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Place:
    """One of the nodes that train a run together.

    Attributes:
        nodes: How many there are.
        rank: Which one this is, from 0.
        address: Host of node 0.
        port: Port that node 0 listens on.
    """

    nodes: int
    rank: int
    address: str
    port: int

    @property
    def others(self) -> range:
        """Ranks of the nodes that follow node 0."""
        return range(1, self.nodes)


def refuse_another_launcher(nodes: int = 1) -> None:
    """Refuse to be started once per device: a command starts the processes of a run itself.

    Args:
        nodes: Nodes that train a run together.

    Raises:
        ConfigError: This process is one of several that torchrun or SLURM started on this node.
    """
    ranks = [name for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE") if name in os.environ]
    # Kubernetes' PyTorchJob counts pods in RANK and says so; torchrun always sets LOCAL_RANK.
    counts_nodes = nodes > 1 and "PET_NODE_RANK" in os.environ and "LOCAL_RANK" not in ranks
    if ranks and not counts_nodes:
        raise ConfigError(
            f"{ranks[0]}={os.environ[ranks[0]]} is set, as torchrun does; start the command once "
            "per node, without torchrun, and say trainer=ddp trainer.devices=N (or unset "
            f"{' '.join(ranks)})"
        )
    tasks = os.environ.get("SLURM_NTASKS_PER_NODE", "1")
    if tasks.isdecimal() and int(tasks) > 1:
        raise ConfigError(
            f"SLURM_NTASKS_PER_NODE={tasks}; start the command once per node, with "
            "--ntasks-per-node=1, and say trainer=ddp trainer.devices=N"
        )


def find_place(trainers: Iterable[Trainer]) -> Place | None:
    """The place of this machine among those that train the runs of a command together.

    Returns:
        None where a run has one machine, or where SLURM gets the runs.

    Raises:
        ConfigError: The environment does not say which node this is, or says nonsense.
    """
    counts = sorted({1 if trainer.slurm.submit else trainer.num_nodes for trainer in trainers})
    if counts == [1]:
        return None
    if len(counts) > 1:
        raise ConfigError(
            f"trainer.num_nodes={','.join(map(str, counts))}: all runs of a command share "
            "its nodes; give one value"
        )
    refuse_another_launcher(counts[0])
    return place_of(counts[0])


def place_of(nodes: int) -> Place:
    """Read the place of this machine from the environment.

    ``MASTER_ADDR``, ``MASTER_PORT`` and ``NODE_RANK`` count first; what they leave open, SLURM
    says in a step of its own, and Kubernetes' PyTorchJob in ``PET_NODE_RANK``.

    Raises:
        ConfigError: Something is missing, or does not fit ``nodes``.
    """
    given = os.environ
    in_step = "SLURM_STEP_NODELIST" in given
    if in_step and int(given.get("SLURM_STEP_NUM_TASKS", nodes)) != nodes:
        raise ConfigError(
            f"trainer.num_nodes={nodes}, but srun started {given['SLURM_STEP_NUM_TASKS']} tasks; "
            f"use srun --nodes={nodes} --ntasks-per-node=1"
        )
    if in_step and int(given.get("SLURM_STEP_NUM_NODES", nodes)) != nodes:
        raise ConfigError(
            f"trainer.num_nodes={nodes}, but srun uses {given['SLURM_STEP_NUM_NODES']} nodes; use "
            f"srun --nodes={nodes} --ntasks-per-node=1"
        )
    address = given.get("MASTER_ADDR") or (_first_host() if in_step else None)
    rank = given.get("NODE_RANK") or given.get("PET_NODE_RANK")
    rank = rank or (given["SLURM_NODEID"] if in_step else None)
    port = given.get("MASTER_PORT") or str(_port_of_step() if in_step else DEFAULT_PORT)
    if address is None or rank is None:
        missing = " and ".join(
            name for name, value in (("MASTER_ADDR", address), ("NODE_RANK", rank)) if value is None
        )
        where = (
            "inside a job of SLURM, start it with srun --ntasks-per-node=1"
            if "SLURM_JOB_ID" in given
            else f"set MASTER_ADDR=HOST-OF-NODE-0 and NODE_RANK=0 to {nodes - 1}, see "
            "docs/clusters.md"
        )
        raise ConfigError(
            f"trainer.num_nodes={nodes} needs the command on each node to know which one it is: "
            f"{missing} {'are' if ' and ' in missing else 'is'} not set; {where}"
        )
    if not rank.isdecimal() or int(rank) >= nodes:
        raise ConfigError(
            f"NODE_RANK={rank}: must be 0 to {nodes - 1} with trainer.num_nodes={nodes}, another "
            "one on each node"
        )
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"MASTER_PORT={port}: must be a number from 1 to 65535")
    return Place(nodes, int(rank), address, int(port))


def _first_host() -> str:
    hosts = subprocess.run(
        ["scontrol", "show", "hostnames", os.environ["SLURM_STEP_NODELIST"]],
        capture_output=True,
        text=True,
    )
    if hosts.returncode:
        raise ConfigError(
            f"scontrol show hostnames failed: {hosts.stderr.strip()}; set MASTER_ADDR instead"
        )
    return hosts.stdout.split()[0]


def _port_of_step() -> int:
    # Steps that share a node must not share a port; below those that systems give away.
    job, step = os.environ["SLURM_JOB_ID"], os.environ.get("SLURM_STEP_ID", "0")
    return 15_000 + (101 * int(job) + int(step)) % 15_000


class Link:
    """A connection to another node; each message is a line of JSON.

    Attributes:
        closed: Whether the other end is gone.

    Args:
        connection: The connection.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.closed = False
        self.rest = b""
        connection.settimeout(_SILENT_SECONDS)
        # A machine that loses its power closes nothing: half a minute, then it counts as gone.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, **message: Any) -> None:
        """Send a message; a lost connection shows in ``closed``."""
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.close()

    def receive(self, seconds: float) -> dict[str, Any] | None:
        """The next message, after waiting at most ``seconds`` for it."""
        try:
            while not (self.closed or b"\n" in self.rest):
                if not select.select([self.connection], [], [], seconds)[0]:
                    return None
                data = self.connection.recv(65536)
                self.rest += data
                if not data or len(self.rest) > _MOST_BYTES:
                    self.close()
            line, end, rest = self.rest.partition(b"\n")
            if not end:
                return None
            self.rest = rest
            return dict(json.loads(line))
        except (OSError, ValueError, TypeError):  # lost, or no node of ours
            self.rest = b""
            self.close()
            return None

    def close(self) -> None:
        """Give the connection up."""
        self.closed = True
        self.connection.close()
