"""Starts the runs of a plan where the user wants them: here, through SLURM, or by torchrun."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ablations.config import Job
from ablations.launch.display import show_torchrun
from ablations.launch.nodes import Nodes
from ablations.launch.pool import Pool, RunState, freeze, run_folder, warm_up
from ablations.launch.slurm import Queue


def start(
    output: Path,
    jobs: list[Job],
    console: Console,
    watch: Callable[[list[RunState]], None],
    deadline: float | None = None,
    nodes: Nodes | None = None,
) -> list[RunState]:
    """Carry out ``jobs``; errors are those of :class:`Pool` and :class:`Queue`.

    Runs on several nodes outside of SLURM are frozen only: torchrun, which the user starts on every
    node, trains them.

    Args:
        output: Folder of the runs.
        jobs: Runs without a record, all on equally many nodes.
        console: Where the commands for torchrun are printed.
        watch: Called a few times a second with the state of every run.
        deadline: Monotonic time after which no run is started.
        nodes: The machines of a step of SLURM that train every run together.
    """
    trainer = jobs[0].trainer
    if trainer.slurm.submit:
        return Queue(output, watch, deadline).run(jobs)
    if trainer.num_nodes > 1 and nodes is None:
        states = [RunState(job, run_folder(output, job)) for job in jobs]
        for state in states:
            freeze(state)
        show_torchrun(console, [state.folder for state in states], trainer)
        return states
    warm_up()
    return Pool(output, watch, deadline, nodes).run(jobs)
