"""One run on several devices: torch's elastic agent starts a process for each.

Hydra's multirun and Lightning's own launcher do not mix: Lightning would start the whole sweep
again for every further device. Here the ranks are started from the frozen configuration of a run,
and Lightning, finding the agent's environment, starts nothing itself. The agent forks the ranks: it
was forked from the warm server itself, and they do not load torch and Lightning again.
"""

import logging
import os
import sys
import warnings
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ablations.launch.devices import Slot
from ablations.launch.rank import train_rank


def train_on_ranks(folder: Path, home: Path, slot: Slot) -> None:
    """Train the run in ``folder`` on ``slot.processes`` devices of this machine.

    Args:
        folder: The run's folder.
        home: Where this machine keeps its logs of the run.
        slot: What it may use, and its place among several nodes.

    Raises:
        SystemExit: With 1 after printing the first failure, with 128 plus its number on a signal.
    """
    # The threads that Python 3.12 warns of, the agent's watch and its store, are none of a rank's.
    warnings.filterwarnings("ignore", ".*multi-threaded, use of fork.*", DeprecationWarning)
    # What they say of a rank that ends badly is said below, once.
    for name in ("torch.distributed.elastic.multiprocessing.api", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    place = slot.place
    nodes = place.nodes if place else 1
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=slot.processes,
        run_id=folder.name,
        max_restarts=0,
        rdzv_backend="static" if place else "c10d",
        # On one node a free port: sweeps side by side never collide.
        rdzv_endpoint=f"{place.address}:{place.port}" if place else "localhost:0",
        rdzv_configs={"rank": place.rank} if place else {},
        start_method="fork",
        logs_specs=DefaultLogsSpecs(log_dir=str(home / "ranks"), redirects=Std.ALL),
    )
    try:
        elastic_launch(config, train_rank)(folder, slot.accelerator, os.getpid())
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        print(
            # The end of the log is what is shown.
            f"{_traceback(failure).rstrip()}\n"
            f"{len(error.failures)} of {slot.processes} ranks failed, rank {rank} first "
            f"(exit code {failure.exitcode}); their logs are in {home / 'ranks'}",
            file=sys.stderr,
        )
        sys.exit(1)


def _traceback(failure) -> str:
    message = failure.message
    if isinstance(message, dict):  # written by the decorator `record` in the rank
        message = message.get("extraInfo", {}).get("py_callstack", message.get("message", ""))
    return str(message)
