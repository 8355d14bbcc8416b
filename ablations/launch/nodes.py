"""Several machines for one run: they are SLURM's, or torchrun's."""

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

# Nodes of one job start minutes apart: images are pulled, file systems mounted.
JOIN_SECONDS = 600

_calls = itertools.count()


@dataclass(frozen=True)
class Nodes:
    """The machines that train a run together.

    Attributes:
        count: How many there are.
        rank: Which one this is, from 0.
        hosts: Their names as SLURM writes them, node 0 first.
        step: Name of the step of SLURM that they are, of the command that they have been given,
            and which plan of it they carry out.
    """

    count: int
    rank: int
    hosts: str
    step: str

    def port(self, run_id: str) -> int:
        """Where the processes of a run meet: runs and steps that share node 0 do not collide."""
        return 15_000 + zlib.crc32(f"{self.step} {run_id}".encode()) % 15_000


def refuse_another_launcher() -> None:
    """Refuse to be started once per device: a command starts the processes of a run itself.

    Raises:
        ConfigError: This process is one of several that torchrun or SLURM started on this node.
    """
    ranks = [name for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE") if name in os.environ]
    if ranks:
        raise ConfigError(
            f"{ranks[0]}={os.environ[ranks[0]]} is set, as torchrun does; start the command once, "
            "without torchrun, and say trainer=ddp trainer.devices=N (or unset "
            f"{' '.join(ranks)}). Under torchrun goes `-m ablations.train RUN_FOLDER`, see "
            "docs/clusters.md"
        )
    tasks = os.environ.get("SLURM_NTASKS_PER_NODE", "1")
    if tasks.isdecimal() and int(tasks) > 1:
        raise ConfigError(
            f"SLURM_NTASKS_PER_NODE={tasks}; start the command once per node, with "
            "--ntasks-per-node=1, and say trainer=ddp trainer.devices=N"
        )


def nodes_of_step(count: int) -> Nodes | None:
    """Return the nodes of the step of SLURM that this process is a task of.

    Args:
        count: ``trainer.num_nodes``.

    Returns:
        None for a run on one machine, and outside of a step.

    Raises:
        ConfigError: The step has other nodes than the run.
    """
    given = os.environ
    if count == 1 or "SLURM_STEP_NODELIST" not in given:
        return None
    for name in ("SLURM_STEP_NUM_NODES", "SLURM_STEP_NUM_TASKS"):
        if int(given.get(name, count)) != count:
            raise ConfigError(
                f"trainer.num_nodes={count}, but {name}={given[name]}; use "
                f"srun --nodes={count} --ntasks-per-node=1"
            )
    parts = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    command = f"{zlib.crc32(repr(sys.argv).encode()):08x}"  # a step may carry out several in turn
    step = "-".join([*(given.get(name, "0") for name in parts), command, str(next(_calls))])
    return Nodes(count, int(given["SLURM_NODEID"]), given["SLURM_STEP_NODELIST"], step)


def tell_nodes(nodes: Nodes, output: Path, run_ids: Sequence[str]) -> None:
    """Name the runs to the other nodes, which wait for that: only node 0 makes a plan."""
    path = _plan_file(nodes, output)
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, json.dumps(list(run_ids)))


def await_plan(nodes: Nodes, output: Path) -> list[str]:
    """Wait for node 0 to name the runs.

    Raises:
        ConfigError: It named none in time, or the nodes do not share ``output``.
    """
    path, deadline = _plan_file(nodes, output), time.monotonic() + JOIN_SECONDS
    while time.monotonic() < deadline:
        try:
            os.listdir(path.parent)  # NFS keeps the list of a folder for a while otherwise
            return json.loads(path.read_text())
        except FileNotFoundError:
            time.sleep(0.5)
    raise ConfigError(
        f"node {nodes.rank} has found no {path} of node 0 in {JOIN_SECONDS // 60} minutes; output= "
        "must lie on a file system that all nodes share, and node 0's output says what it does"
    )


def _plan_file(nodes: Nodes, output: Path) -> Path:
    return output / ".nodes" / f"{nodes.step}.json"
