"""Starts the runs of a plan where the user wants them: here, through SLURM, or by torchrun."""

import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ablations.config import Job, LoggerKind
from ablations.launch.display import show, show_torchrun
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
        console: Where the commands for torchrun are printed, and that W&B does not answer.
        watch: Called a few times a second with the state of every run.
        deadline: Monotonic time after which no run is started.
        nodes: The machines of a step of SLURM that train every run together.
    """
    trainer = jobs[0].trainer
    if trainer.num_nodes > 1 and nodes is None and not trainer.slurm.submit:
        states = [RunState(job, run_folder(output, job)) for job in jobs]
        show_torchrun(console, [state.folder for state in states if freeze(state)], trainer)
        watch(states)
        return states
    if not trainer.slurm.submit:
        warm_up()
    if (nodes is None or nodes.rank == 0) and (problem := check_wandb(output, jobs)):
        show(console, "wandb", problem)
    if trainer.slurm.submit:
        return Queue(output, watch, deadline).run(jobs)
    return Pool(output, watch, deadline, nodes).run(jobs)


def check_wandb(output: Path, jobs: list[Job]) -> str | None:
    """Ask W&B once for all runs whether it answers, so that none of them has to wait for it.

    If it refuses, or does not answer within ten seconds (``WANDB_HTTP_TIMEOUT``), this sets
    ``WANDB_MODE=offline``, which the runs inherit.

    Args:
        output: Folder of the runs.
        jobs: The runs.

    Returns:
        What is wrong and the next step; None if W&B answers or is not asked, as on a machine that
        is not logged in, whose runs log offline anyway.
    """
    used = any(job.logger.kind is LoggerKind.wandb and not job.fast_dev_run for job in jobs)
    if not used or os.environ.get("WANDB_MODE", "online") != "online":
        return None
    import wandb  # takes a second, and no other logger needs the package

    wandb.setup(wandb.Settings(silent=True))
    try:
        wandb.login(prompt=False)
    except Exception as error:
        os.environ["WANDB_MODE"] = "offline"
        reason = str(error).partition("\n")[0].rstrip(".")
        return (
            f"{reason}; the runs log offline. Next step, once the server answers: "
            f"`wandb sync {output}/*/wandb/latest-run`"
        )
    finally:
        wandb.teardown()
    return None
