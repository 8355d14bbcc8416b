"""A run's own process: forked warm, tied to its parent's life, its output in a file."""

import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from ablations.config import ConfigError, Job
from ablations.launch.devices import Slot
from ablations.launch.nodes import Place
from ablations.record import load

LOG = "log.txt"


def run_process(folder: Path, slot: Slot, wandb_mode: str | None) -> None:
    """Train the run whose ``config.yaml`` lies in ``folder``; the entry of a forked process.

    Exit codes: 0 when the record is written, 1 after an error, 143 after SIGTERM.

    Args:
        folder: The run's folder.
        slot: What it may use.
        wandb_mode: ``WANDB_MODE`` of the command; none where it is not set.
    """
    os.setpgid(0, 0)  # Ctrl-C in the terminal is the parent's to handle
    end_with_parent(os.getppid())
    home = home_of(folder, slot.place)
    home.mkdir(exist_ok=True)
    _write_output_to(home / LOG)
    # None for a run on a CPU, which would otherwise take page-locked memory, and a context, on one.
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(slot.gpus)
    if wandb_mode is not None:
        os.environ["WANDB_MODE"] = wandb_mode
    # Loaded before the fork by the server; the command itself does without torch.
    from ablations.launch.elastic import train_on_ranks
    from ablations.train import train

    # Two commands may want the same run: the second waits, and finds the record. Of several nodes,
    # each has a lock, and node 0's is the run's.
    with FileLock(home / "lock"):
        if load(folder) is not None:
            return
        with plain_errors(folder):
            if slot.processes == 1 and slot.place is None:
                train(Job.load(folder), folder, slot.accelerator)
            else:
                train_on_ranks(folder, home, slot)


@contextmanager
def plain_errors(folder: Path) -> Iterator[None]:
    """End with one line, and without a traceback, after an error that is no fault of the code.

    Args:
        folder: The run's folder. On a full disk its half-written checkpoint goes, whose room the
            log needs to say so.
    """
    try:
        yield
    except ConfigError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        for path in folder.glob("*.tmp"):
            path.unlink()
        sys.exit(
            f"error: {folder}: {error.strerror}; next step: make room, then the same command "
            "continues from the last checkpoint"
        )


def home_of(folder: Path, place: Place | None) -> Path:
    """Where a node keeps its logs of the run in ``folder``, which all nodes share."""
    return folder if place is None or place.rank == 0 else folder / f"node{place.rank}"


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
