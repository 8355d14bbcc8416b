"""A run's own process: forked warm, tied to its parent's life, its output in a file."""

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

from filelock import FileLock

from ablations.errors import plain_errors
from ablations.launch.devices import Slot
from ablations.launch.nodes import Nodes
from ablations.record import load

LOG = "log.txt"


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
    end_with_parent(os.getppid())
    # The nodes share the run's folder: each further one has its log and its lock below it.
    home = folder / f"node{nodes.rank}" if nodes and nodes.rank else folder
    home.mkdir(exist_ok=True)
    _write_output_to(home / LOG)
    # None for a run on a CPU, which would otherwise take page-locked memory, and a context, on one.
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)
    if wandb_mode is not None:
        os.environ["WANDB_MODE"] = wandb_mode
    # Loaded before the fork by the server; the command itself does without torch.
    from ablations.launch.ranks import train_on_ranks
    from ablations.training.fit import train_folder

    # Two commands may want the same run: the second waits, and finds the record.
    with FileLock(home / "lock"):
        if load(folder) is not None:
            return
        with plain_errors(folder):
            if slot.processes == 1 and nodes is None:
                train_folder(folder)
            else:
                train_on_ranks(folder, home, slot.processes, nodes)


def end_with_parent(parent: int) -> None:
    """Watch for the death of ``parent`` from a thread, and end this process group then.

    The parent of a forked run is the fork server, which lives as long as a run does: for such a
    process the command that asked for it counts as well.
    """
    command = multiprocessing.parent_process()

    def watch() -> None:
        while os.getppid() == parent and (command is None or command.is_alive()):
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)  # leaves a checkpoint
        time.sleep(3)  # with the half second above: gone before anyone looks for orphans
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


def _write_output_to(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
