"""The process of a run: a preloaded fork that logs to a file and exits with its parent."""

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from ablations.errors import ended_in_words
from ablations.launch.frozen import train_frozen

LOG = "log.txt"
WATCH_SECONDS = 0.25


def run_process(folder: Path, gpus: Sequence[str] | None, wandb_mode: str | None) -> None:
    """Train the run whose ``config.yaml`` is in ``folder``; entry point of a forked process.

    Exit codes: 0 when the record is written, 1 after an error, 143 after SIGTERM.

    Args:
        folder: The run's folder.
        gpus: Values for ``CUDA_VISIBLE_DEVICES``; None leaves it as it is.
        wandb_mode: ``WANDB_MODE`` of the command; None if unset.
    """
    os.setpgid(0, 0)  # the parent handles Ctrl-C
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    end_with_parent(os.getppid(), grace=2.0)
    leave_out_deprecations()
    _write_output_to(folder / LOG)
    if gpus is not None:
        # Empty for a run on a CPU, which would otherwise create a CUDA context and pin memory.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if wandb_mode is not None:
        os.environ["WANDB_MODE"] = wandb_mode
    with ended_in_words():
        # If two commands want the same run, the second waits and finds the record.
        train_frozen(folder, wait=True)


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
        grace: Seconds between SIGTERM and SIGKILL, for a checkpoint. Those of a run and of its
            ranks add up: all processes are gone within three seconds.
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
