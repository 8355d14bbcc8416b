"""Starts the runs of a plan where the user wants them: here, or through SLURM."""

from collections.abc import Callable
from pathlib import Path

from ablations.config import Job
from ablations.launch.pool import Pool, RunState, warm_up
from ablations.launch.slurm import Queue


def start(
    output: Path,
    jobs: list[Job],
    watch: Callable[[list[RunState]], None],
    deadline: float | None = None,
) -> list[RunState]:
    """Carry out ``jobs``; arguments and errors are those of :class:`Pool` and :class:`Queue`."""
    if jobs[0].trainer.slurm.submit:
        return Queue(output, watch, deadline).run(jobs)
    warm_up()
    return Pool(output, watch, deadline).run(jobs)
