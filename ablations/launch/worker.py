"""The process of a run: a preloaded fork that logs to a file and exits with its parent."""

import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

from filelock import FileLock

from ablations.errors import plain_errors
from ablations.files import remove_partial
from ablations.launch.devices import Slot
from ablations.launch.nodes import Nodes
from ablations.record import load

LOG = "log.txt"
WATCH_SECONDS = 0.25
# Seconds between SIGTERM and SIGKILL after a command has died: a single process needs them for a
# checkpoint; ranks and their agent write none. All processes are gone within three seconds.
ALONE_SECONDS, RANK_SECONDS = 2.0, 1.0


def run_process(folder: Path, slot: Slot, nodes: Nodes | None, wandb_mode: str | None) -> None:
    """Train the run whose ``config.yaml`` is in ``folder``; entry point of a forked process.

    Exit codes: 0 when the record is written, 1 after an error, 143 after SIGTERM.

    Args:
        folder: The run's folder.
        slot: The devices to use.
        nodes: The nodes that train the run together; None for this machine alone.
        wandb_mode: ``WANDB_MODE`` of the command; None if unset.
    """
    os.setpgid(0, 0)  # the parent handles Ctrl-C
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    alone = slot.processes == 1 and nodes is None
    end_with_parent(os.getppid(), ALONE_SECONDS if alone else RANK_SECONDS)
    leave_out_deprecations()
    # Nodes share the run's folder; all but the first keep their log and lock in a subfolder.
    home = folder / f"node{nodes.rank}" if nodes and nodes.rank else folder
    try:
        home.mkdir(exist_ok=True)
        _write_output_to(home / LOG)
    except OSError:
        sys.exit(1)  # the command gets the same error and reports it
    # Empty for a run on a CPU, which would otherwise create a CUDA context and pin memory.
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)
    if wandb_mode is not None:
        os.environ["WANDB_MODE"] = wandb_mode
    with plain_errors(folder):
        # Already imported by the fork server; the command itself does not import torch.
        from ablations.launch.ranks import train_on_ranks
        from ablations.training.fit import train_folder

        # If two commands want the same run, the second waits and finds the record.
        with FileLock(home / "lock"):
            if load(folder) is not None:
                return
            remove_partial(home)
            if alone:
                train_folder(folder)
            else:
                train_on_ranks(folder, home, slot.processes, nodes)


def leave_out_deprecations() -> None:
    """Ignore deprecation warnings, so that the end of a log shows why a run failed."""
    for category in (DeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category)


def end_with_parent(parent: int, grace: float) -> None:
    """Start a thread that ends this process group when ``parent`` ends.

    The parent of a forked run is the fork server, which lives as long as its runs; the thread
    therefore watches the command as well.

    Args:
        parent: Process ID of the parent.
        grace: Seconds between SIGTERM and SIGKILL.
    """
    command = multiprocessing.parent_process()

    def watch() -> None:
        while os.getppid() == parent and (command is None or command.is_alive()):
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)  # the run writes a checkpoint
        time.sleep(grace)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _write_output_to(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
