"""What a job of SLURM does: train one run, in a process of its own, on each of its nodes."""

from pathlib import Path
from typing import Any

from ablations.config import Job
from ablations.launch.nodes import nodes_of_step
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
        nodes = nodes_of_step(self.job.trainer.num_nodes)
        self.pool = Pool(self.output, lambda states: None, nodes=nodes)
        self.before = self._checkpoints()
        warm_up()
        (state,) = self.pool.run([self.job])
        # Node 0 tells the failure: it is one of the run.
        if state.status == "failed" and (nodes is None or nodes.rank == 0):
            raise RuntimeError(state.tail)

    def checkpoint(self) -> Any:
        """End the run with a checkpoint; submitit calls this on the signal before the end.

        Returns:
            What is queued again; None, which ends the job, if this one made no progress.
        """
        from submitit.helpers import DelayedSubmission

        self.pool.stop()
        if self._checkpoints() == self.before:
            return None  # it would never come to an end
        return DelayedSubmission(Task(self.output, self.job))

    def _checkpoints(self) -> list[tuple[str, int]]:
        folder = run_folder(self.output, self.job)
        return sorted((path.name, path.stat().st_mtime_ns) for path in folder.glob("*.ckpt"))
