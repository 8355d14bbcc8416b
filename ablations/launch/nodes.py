"""Nodes of a SLURM step that train a run together."""

import itertools
import json
import os
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablations.config import ConfigError
from ablations.files import write_atomically

# Nodes of one job may start minutes apart, while they pull images or mount file systems.
JOIN_SECONDS = 600

_calls = itertools.count()


@dataclass(frozen=True)
class Nodes:
    """The nodes that train a run together.

    Attributes:
        count: Number of nodes.
        rank: Index of this node, from 0.
        hosts: Node list in SLURM's notation, node 0 first.
        step: Identifies the SLURM step, the command, and the number of its plan.
    """

    count: int
    rank: int
    hosts: str
    step: str

    def port(self, run_id: str) -> int:
        """Return the rendezvous port of a run, hashed to avoid collisions on node 0."""
        return 15_000 + zlib.crc32(f"{self.step} {run_id}".encode()) % 15_000


def refuse_another_launcher() -> None:
    """Raise an error if this command was started once per device.

    A command starts the processes of a run itself.

    Raises:
        ConfigError: This process is one of several that torchrun or SLURM started on this node.
    """
    ranks = [name for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE") if name in os.environ]
    if ranks:
        raise ConfigError(
            f"{ranks[0]}={os.environ[ranks[0]]}: torchrun must not start this command; next step: "
            "start the command once, without torchrun, and set trainer=ddp trainer.devices=N (or "
            f"unset {' '.join(ranks)}), or use torchrun with `-m ablations.train RUN_FOLDER`, see "
            "docs/clusters.md"
        )
    tasks = os.environ.get("SLURM_NTASKS_PER_NODE", "1")
    if tasks.isdecimal() and int(tasks) > 1:
        raise ConfigError(
            f"SLURM_NTASKS_PER_NODE={tasks}: there must be one task per node; next step: start the "
            "command with --ntasks-per-node=1, and set trainer=ddp trainer.devices=N"
        )


def nodes_of_step(count: int) -> Nodes | None:
    """Return the nodes of the SLURM step that this process belongs to.

    Args:
        count: ``trainer.num_nodes``.

    Returns:
        The nodes; None for a run on one node or outside a step.

    Raises:
        ConfigError: The step does not have one task on each of ``count`` nodes.
    """
    given = os.environ
    if count == 1 or "SLURM_STEP_NODELIST" not in given:
        return None
    for name in ("SLURM_STEP_NUM_NODES", "SLURM_STEP_NUM_TASKS"):
        if int(given.get(name, count)) != count:
            raise ConfigError(
                f"trainer.num_nodes={count}: {name}={given[name]} differs; next step: use "
                f"srun --nodes={count} --ntasks-per-node=1"
            )
    parts = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    command = f"{zlib.crc32(repr(sys.argv).encode()):08x}"  # a step may run several in turn
    step = "-".join([*(given.get(name, "0") for name in parts), command, str(next(_calls))])
    return Nodes(count, int(given["SLURM_NODEID"]), given["SLURM_STEP_NODELIST"], step)


def tell_nodes(nodes: Nodes, output: Path, run_ids: Sequence[str]) -> None:
    """Write the ids of the planned runs for the other nodes; only node 0 makes a plan."""
    path = _plan_file(nodes, output)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(list(run_ids)))


def await_plan(nodes: Nodes, output: Path) -> list[str]:
    """Wait for the plan of node 0, and return the ids of its runs.

    Raises:
        ConfigError: No plan was found within ``JOIN_SECONDS``.
    """
    path, deadline = _plan_file(nodes, output), time.monotonic() + JOIN_SECONDS
    while time.monotonic() < deadline:
        try:
            os.listdir(path.parent)  # makes NFS refresh its cached listing
            return json.loads(path.read_text())
        except FileNotFoundError:
            time.sleep(0.5)
    raise ConfigError(
        f"output={output}: node {nodes.rank} found no plan of node 0 ({path}) within "
        f"{JOIN_SECONDS // 60} minutes; next step: choose a folder on a file system that all nodes "
        "share, or see the output of node 0"
    )


def _plan_file(nodes: Nodes, output: Path) -> Path:
    return output / ".nodes" / f"{nodes.step}.json"
