"""One run on several devices: torch's elastic agent starts a process for each.

Hydra's multirun and Lightning's own launcher do not mix: Lightning would start the whole sweep
again for every further device. Here the ranks are started from the frozen configuration of a run,
and Lightning, finding the agent's environment, starts nothing itself.
"""

import os
import sys
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from ablations.launch.devices import Slot


def train_on_ranks(folder: Path, slot: Slot) -> None:
    """Train the run in ``folder`` on ``slot.processes`` devices of this machine.

    Raises:
        SystemExit: With 1 after printing the first failure, with 128 plus its number on a signal.
    """
    os.environ["OMP_NUM_THREADS"] = str(slot.threads)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=slot.processes,
        run_id=folder.name,
        max_restarts=0,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # a free port: sweeps side by side never collide
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / "ranks"), redirects=Std.ALL),
    )
    command = ("-u", "-m", "ablations.launch.rank", str(folder), slot.accelerator)
    try:
        elastic_launch(config, sys.executable)(*command)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        print(
            # The end of the log is what is shown.
            f"{_traceback(failure).rstrip()}\n"
            f"{len(error.failures)} of {slot.processes} ranks failed, rank {rank} first "
            f"(exit code {failure.exitcode}); their logs are in {folder / 'ranks'}",
            file=sys.stderr,
        )
        sys.exit(1)


def _traceback(failure) -> str:
    message = failure.message
    if isinstance(message, dict):  # written by the decorator `record` in the rank
        message = message.get("extraInfo", {}).get("py_callstack", message.get("message", ""))
    return str(message)
