"""Train a run on several devices with torch's elastic agent, the library behind torchrun.

Lightning's own launcher would start the whole Hydra sweep again for each further device. Here the
agent starts a process per device from the frozen configuration of a run, and Lightning, finding the
agent's environment, starts none. The agent is itself a fork of the preloaded server, so the
processes that it forks need not import torch and Lightning again.
"""

import logging
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from torch.distributed import DistError
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ablations.config import ConfigError
from ablations.errors import describe_end, explain_failure
from ablations.launch.nodes import JOIN_SECONDS, Nodes
from ablations.launch.worker import RANK_SECONDS, end_with_parent
from ablations.training.fit import train_folder

# Time for the agent to see which rank failed first, and to end the others.
FIRST_SECONDS = 3.0


def train_on_ranks(folder: Path, home: Path, processes: int, nodes: Nodes | None) -> None:
    """Train the run in ``folder`` on ``processes`` devices of this machine.

    Args:
        folder: The run's folder.
        home: Folder for this machine's logs of the run.
        processes: Number of ranks on this machine.
        nodes: The nodes that train the run together; None for this machine alone.

    Raises:
        SystemExit: With 1 after printing the first failure, or with 128 plus the signal's number.
    """
    # Python 3.12 warns about the threads of the agent and its store, which ranks do not use.
    warnings.filterwarnings("ignore", ".*multi-threaded, use of fork.*", DeprecationWarning)
    # Failures of ranks are reported once, below.
    for name in ("torch.distributed.elastic.multiprocessing.api", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    count = nodes.count if nodes else 1
    config = LaunchConfig(
        min_nodes=count,
        max_nodes=count,
        nproc_per_node=processes,
        run_id=folder.name,
        max_restarts=0,
        rdzv_backend="c10d",
        # Port 0 picks a free port on one node, so that parallel sweeps do not collide.
        rdzv_endpoint=_endpoint(nodes, folder.name) if nodes else "localhost:0",
        rdzv_configs=_rendezvous(nodes) if nodes else {},
        start_method="fork",
        logs_specs=DefaultLogsSpecs(log_dir=str(home / "ranks"), redirects=Std.ALL),
    )
    try:
        elastic_launch(config, _train_rank)(folder, os.getpid())
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        print(
            # Printed last, because the command shows the end of the log.
            f"{_reason(failure).rstrip()}\n"
            f"{len(error.failures)} of {processes} ranks failed, rank {rank} first "
            f"({describe_end(failure.exitcode)}); their logs are in {home / 'ranks'}",
            file=sys.stderr,
        )
        sys.exit(1)


def _endpoint(nodes: Nodes, run_id: str) -> str:
    return f"{SLURMEnvironment.resolve_root_node_address(nodes.hosts)}:{nodes.port(run_id)}"


def _rendezvous(nodes: Nodes) -> dict[str, object]:
    times = dict.fromkeys(("timeout", "join_timeout", "read_timeout"), JOIN_SECONDS)
    return {"is_host": nodes.rank == 0, **times}


def _train_rank(folder: Path, agent: int) -> None:
    """Train as the rank that the agent's environment variables specify.

    Args:
        folder: The run's folder.
        agent: Process ID of the agent, which may have ended while it forked this process.
    """
    # Reset the handlers inherited from the agent; the command handles Ctrl-C, not the ranks.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    end_with_parent(agent, RANK_SECONDS)
    # The log of a killed rank then has all of its output.
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore
    try:
        train_folder(folder)
    except Exception as error:
        # The agent reports the first failure, so a rank that has lost another one waits.
        if isinstance(error, DistError) or (
            isinstance(error, RuntimeError) and "gloo" in str(error)
        ):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(FIRST_SECONDS)
        if line := explain_failure(error, folder):
            raise ConfigError(line) from None
        raise


def _reason(failure: Any) -> str:
    """Return a rank's error: the line of a ConfigError, or the traceback of any other."""
    message = failure.message
    if not isinstance(message, dict):
        return str(message)
    text = str(message.get("message", ""))  # written by torch's decorator `record` in the rank
    if text.startswith("ConfigError: "):
        return text.replace("ConfigError", "error", 1)
    return str(message.get("extraInfo", {}).get("py_callstack", text))
