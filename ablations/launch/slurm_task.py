"""The task of a SLURM job, on each of its nodes: train one run in a separate process."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ablations.launch.pool import POLL_SECONDS, tail
from ablations.launch.worker import LOG


class Task:
    """Runs ``python -m ablations.train`` on every node of a job; submitit pickles the task.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> None:
        """Train the run.

        Raises:
            RuntimeError: The run failed; the message is the end of its log.
        """
        self.before = self._checkpoints()
        # Only node 0 writes the log and reports the failure, because the run is the same on all.
        first = os.environ.get("SLURM_NODEID", "0") == "0"
        # SLURM's signal, which goes to all processes of the job, is for this one only.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        with (self.folder / LOG).open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ablations.train", str(self.folder)],
                stdout=log if first else None,
                stderr=log if first else None,
            )
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        while (code := self.process.poll()) is None:
            time.sleep(POLL_SECONDS)
        if code and first:
            raise RuntimeError(tail(self.folder, code))

    def checkpoint(self) -> Any:
        """Stop the run with a checkpoint; submitit calls this on SLURM's signal.

        Returns:
            The task to requeue; None, which ends the job, if the run has written no checkpoint
            since the job started.
        """
        from submitit.helpers import DelayedSubmission

        self.process.terminate()
        with suppress(ChildProcessError):  # it has ended already
            os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        if self._checkpoints() == self.before:
            return None  # no progress; do not requeue
        return DelayedSubmission(Task(self.folder))

    def _checkpoints(self) -> list[tuple[str, int]]:
        return sorted((path.name, path.stat().st_mtime_ns) for path in self.folder.glob("*.ckpt"))
