"""Start the runs of a plan on this machine or through SLURM, or print torchrun commands."""

import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ablations.config import Job, LoggerKind
from ablations.launch.display import show, show_torchrun
from ablations.launch.pool import Pool, RunState, freeze, run_folder, warm_up
from ablations.launch.slurm import Queue


def start(
    output: Path,
    jobs: list[Job],
    console: Console,
    watch: Callable[[list[RunState]], None],
    deadline: float | None = None,
) -> list[RunState]:
    """Train ``jobs`` and return their states; errors are those of :class:`Pool` and :class:`Queue`.

    Runs on several nodes outside SLURM are only frozen; the user trains them by starting torchrun
    on every node.

    Args:
        output: Folder of the runs.
        jobs: Runs without a record, all on equally many nodes.
        console: The console for torchrun commands and problems with W&B.
        watch: Called a few times a second with the state of every run.
        deadline: Value of ``time.monotonic()`` after which no run is started.
    """
    trainer = jobs[0].trainer
    in_slurm = trainer.slurm.submit or "SLURM_JOB_ID" in os.environ
    if trainer.num_nodes > 1 and not in_slurm:
        states = [RunState(job, run_folder(output, job)) for job in jobs]
        for state in states:
            freeze(state.job, state.folder)
        show_torchrun(console, [state.folder for state in states], trainer)
        watch(states)
        return states
    if not trainer.slurm.submit:
        warm_up()
    if problem := check_wandb(output, jobs):
        show(console, "wandb", problem)
    if trainer.slurm.submit:
        return Queue(output, watch, deadline).run(jobs)
    return Pool(output, watch, deadline).run(jobs)


def check_wandb(output: Path, jobs: list[Job]) -> str | None:
    """Check once for all runs whether W&B answers, so that no run has to wait for it.

    If W&B refuses the login, or does not answer within ten seconds (``WANDB_HTTP_TIMEOUT``), set
    ``WANDB_MODE=offline``, which the runs inherit.

    Args:
        output: Folder of the runs.
        jobs: The runs.

    Returns:
        The problem and the next step; None if W&B answers or was not asked. W&B is not asked if
        this machine is not logged in, because its runs then log offline.
    """
    used = any(job.logger.kind is LoggerKind.wandb and not job.fast_dev_run for job in jobs)
    if not used or os.environ.get("WANDB_MODE", "online") != "online":
        return None
    import wandb  # takes a second, and other loggers do not need it

    wandb.setup(wandb.Settings(silent=True))
    try:
        wandb.login(prompt=False)
    except Exception as error:
        os.environ["WANDB_MODE"] = "offline"
        reason = str(error).partition("\n")[0].rstrip(".")
        return (
            f"{reason}; the runs log offline; next step, once the server answers: "
            f"`wandb sync {output}/*/wandb/latest-run`"
        )
    finally:
        wandb.teardown()
    return None
