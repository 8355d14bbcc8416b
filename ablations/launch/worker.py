"""A run's own process: forked warm, tied to its parent's life, its output in a file."""

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
# What a run alone gets to leave a checkpoint once its command is dead, and what ranks and their
# agent get, which leave none: all are gone within three seconds, one after the other.
ALONE_SECONDS, RANK_SECONDS = 2.0, 1.0


def run_process(folder: Path, slot: Slot, nodes: Nodes | None, wandb_mode: str | None) -> None:
    """Train the run whose ``config.yaml`` lies in ``folder``; the entry of a forked process.

    Exit codes: 0 when the record is written, 1 after an error, 143 after SIGTERM.

    Args:
        folder: The run's folder.
        slot: What it may use.
        nodes: The machines that train it together; None for this one alone.
        wandb_mode: ``WANDB_MODE`` of the command; None where it is not set.
    """
    os.setpgid(0, 0)  # Ctrl-C in the terminal is the parent's to handle
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    alone = slot.processes == 1 and nodes is None
    end_with_parent(os.getppid(), ALONE_SECONDS if alone else RANK_SECONDS)
    leave_out_deprecations()
    # The nodes share the run's folder: each further one has its log and its lock below it.
    home = folder / f"node{nodes.rank}" if nodes and nodes.rank else folder
    try:
        home.mkdir(exist_ok=True)
        _write_output_to(home / LOG)
    except OSError:
        sys.exit(1)  # the command finds the same, and says so
    # None for a run on a CPU, which would otherwise take page-locked memory, and a context, on one.
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)
    if wandb_mode is not None:
        os.environ["WANDB_MODE"] = wandb_mode
    with plain_errors(folder):
        # Loaded before the fork by the server; the command itself does without torch.
        from ablations.launch.ranks import train_on_ranks
        from ablations.training.fit import train_folder

        # Two commands may want the same run: the second waits, and finds the record.
        with FileLock(home / "lock"):
            if load(folder) is not None:
                return
            remove_partial(home)
            if alone:
                train_folder(folder)
            else:
                train_on_ranks(folder, home, slot.processes, nodes)


def leave_out_deprecations() -> None:
    """Keep warnings that are for developers out of a log, whose end tells why a run has failed."""
    for category in (DeprecationWarning, FutureWarning):
        warnings.filterwarnings("ignore", category=category)


def end_with_parent(parent: int, grace: float) -> None:
    """Watch for the death of ``parent`` from a thread, and end this process group then.

    The parent of a forked run is the fork server, which lives as long as a run does: for such a
    process the command that asked for it counts as well.

    Args:
        parent: Its process number.
        grace: Seconds between SIGTERM and SIGKILL.
    """
    command = multiprocessing.parent_process()

    def watch() -> None:
        while os.getppid() == parent and (command is None or command.is_alive()):
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)  # leaves a checkpoint
        time.sleep(grace)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _write_output_to(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
