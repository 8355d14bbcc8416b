"""What a job of SLURM does: the launcher of this machine, for one run."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ablations.config import Job
from ablations.launch.follower import Follower
from ablations.launch.leader import Leader
from ablations.launch.nodes import place_of
from ablations.launch.pool import Pool, run_folder, warm_up


class Task:
    """One run on the nodes of a job, in a process on each of them; submitit pickles it.

    Args:
        output: Folder of the runs.
        job: The run.
    """

    def __init__(self, output: Path, job: Job) -> None:
        self.output = output
        self.job = job

    def __call__(self) -> None:
        """Carry out the run.

        Raises:
            RuntimeError: It failed; the message is the end of its log.
        """
        self.pool = Pool(self.output, lambda states: None)
        self.before = self._checkpoints()
        nodes = self.job.trainer.num_nodes
        place = place_of(nodes) if nodes > 1 else None
        # SLURM signals every process of a job; only this one knows what to do about it.
        with _ignored(signal.SIGUSR2):
            warm_up()
        if place is None:
            self._train()
        elif place.rank == 0:
            with Leader(place, self.output) as self.pool.team:
                self._train()
        else:
            # Its exit code says nothing: a failure here is one of the run, and node 0 tells it.
            Follower(place, self.output).run()

    def _train(self) -> None:
        (state,) = self.pool.run([self.job])
        if state.status == "failed":
            raise RuntimeError(state.tail)

    def checkpoint(self) -> Any:
        """End the run with a checkpoint; submitit calls this on the signal before the end.

        Returns:
            What is queued again; none, which ends the job, where this one got no further.
        """
        from submitit.helpers import DelayedSubmission

        self.pool.stop()
        if self._checkpoints() == self.before:
            return None  # it would never come to an end
        return DelayedSubmission(Task(self.output, self.job))

    def _checkpoints(self) -> list[tuple[str, int]]:
        folder = run_folder(self.output, self.job)
        return sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.ckpt"))


@contextmanager
def _ignored(number: int) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
