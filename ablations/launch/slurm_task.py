"""The task of a SLURM job, on each of its nodes: train one run in a separate process."""

from pathlib import Path
from typing import Any

from ablations.config import Job
from ablations.launch.nodes import nodes_of_step
from ablations.launch.pool import Pool, run_folder, warm_up


class Task:
    """Trains one run on all nodes of a SLURM job together; submitit pickles the task.

    Args:
        output: Folder of the runs.
        job: The run.
    """

    def __init__(self, output: Path, job: Job) -> None:
        self.output = output
        self.job = job

    def __call__(self) -> None:
        """Train the run.

        Raises:
            RuntimeError: The run failed; the message is the end of its log.
        """
        nodes = nodes_of_step(self.job.trainer.num_nodes)
        self.pool = Pool(self.output, lambda states: None, nodes=nodes)
        self.before = self._checkpoints()
        warm_up()
        (state,) = self.pool.run([self.job])
        # Only node 0 reports the failure, because the run is the same on all nodes.
        if state.status == "failed" and (nodes is None or nodes.rank == 0):
            raise RuntimeError(state.tail)

    def checkpoint(self) -> Any:
        """Stop the run with a checkpoint; submitit calls this on SLURM's signal.

        Returns:
            The task to requeue; None, which ends the job, if it has written no checkpoint.
        """
        from submitit.helpers import DelayedSubmission

        self.pool.stop()
        if self._checkpoints() == self.before:
            return None  # no progress; do not requeue
        return DelayedSubmission(Task(self.output, self.job))

    def _checkpoints(self) -> list[tuple[str, int]]:
        folder = run_folder(self.output, self.job)
        return sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.ckpt"))
