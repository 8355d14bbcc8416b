"""One run on several devices: torch's elastic agent, which is torchrun, starts a process for each.

Hydra's multirun and Lightning's own launcher do not mix: Lightning would start the whole sweep
again for every further device. Here the ranks are started from the frozen configuration of a run,
and Lightning, finding the agent's environment, starts nothing itself. The agent forks the ranks: it
was forked from the warm server itself, and they do not load torch and Lightning again.
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

# What the agent gets to see which rank was lost first, and to end the others.
FIRST_SECONDS = 3.0


def train_on_ranks(folder: Path, home: Path, processes: int, nodes: Nodes | None) -> None:
    """Train the run in ``folder`` on ``processes`` devices of this machine.

    Args:
        folder: The run's folder.
        home: Where this machine keeps its logs of the run.
        processes: Ranks on this machine.
        nodes: The machines that train it together; None for this one alone.

    Raises:
        SystemExit: With 1 after printing the first failure, with 128 plus its number on a signal.
    """
    # The threads that Python 3.12 warns of, the agent's watch and its store, are none of a rank's.
    warnings.filterwarnings("ignore", ".*multi-threaded, use of fork.*", DeprecationWarning)
    # What they say of a rank that ends badly is said below, once.
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
        # On one node a free port: sweeps side by side never collide.
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
            # The end of the log is what is shown.
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
    """Train with the other ranks; the agent's environment says which one this is.

    Args:
        folder: The run's folder.
        agent: Process number of the agent, which may have died while it forked this process.
    """
    # The agent's own handlers came along with the fork; Ctrl-C in the terminal is not for ranks.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.setpgid(0, 0)
    end_with_parent(agent, RANK_SECONDS)
    # A rank that is killed leaves what it said in its log.
    sys.stdout.reconfigure(line_buffering=True)  # pyright: ignore
    try:
        train_folder(folder)
    except Exception as error:
        # The agent reports one failure, and a rank that has lost another one is not the cause.
        if isinstance(error, DistError) or (
            isinstance(error, RuntimeError) and "gloo" in str(error)
        ):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(FIRST_SECONDS)
        if line := explain_failure(error, folder):
            raise ConfigError(line) from None
        raise


def _reason(failure: Any) -> str:
    """Return a rank's error: the line of one that is no fault of the code, or the traceback."""
    message = failure.message
    if not isinstance(message, dict):
        return str(message)
    said = str(message.get("message", ""))  # written by the decorator `record` in the rank
    if said.startswith("ConfigError: "):
        return said.replace("ConfigError", "error", 1)
    return str(message.get("extraInfo", {}).get("py_callstack", said))
