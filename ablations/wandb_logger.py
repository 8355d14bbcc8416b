"""The W&B run of a run; imported only where W&B is used."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import wandb
from pytorch_lightning.loggers import WandbLogger

from ablations.config import Job
from ablations.loggers import digest, final_metrics, tags
from ablations.record import Record

AXES = ("epoch", "samples", "seconds")

# No run waits longer for W&B than this; what it did not take stays on disk.
TIMEOUT_SECONDS = 30


class ResumableWandbLogger(WandbLogger):
    """Sends each epoch once: an interrupted run repeats some epochs and may have lost others.

    Args:
        job: The run.
        folder: Where the client keeps its files.
    """

    def __init__(self, job: Job, folder: Path) -> None:
        experiment = _begin(job, folder)
        super().__init__(experiment=experiment)
        self.sent: float = experiment.summary.get("epoch") or 0
        self.lost = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row, unless its epoch is there already."""
        epoch = metrics.get("epoch", self.sent + 1)
        if epoch > self.sent:
            with self._never_fails():
                super().log_metrics(metrics, step)
                self.sent = epoch

    def log_record(self, record: Record) -> None:
        """Put the final errors into the summary of the W&B run."""
        with self._never_fails():
            self.experiment.summary.update({**final_metrics(record), "record": digest(record)})

    def close(self, exit_code: int) -> None:
        """Finish the W&B run, marked as failed unless ``exit_code`` is 0."""
        with self._never_fails():
            wandb.finish(exit_code=exit_code)

    @contextmanager
    def _never_fails(self) -> Iterator[None]:
        """Keep failures of W&B from ending the training; ``dashboard.py --sync`` sends the rest."""
        try:
            yield
        except Exception as error:
            if not self.lost:
                logging.getLogger(__name__).warning("W&B did not take everything: %s", error)
            self.lost = True


def _begin(job: Job, folder: Path) -> wandb.Run:
    mode = None  # the client reads WANDB_MODE
    if "WANDB_MODE" not in os.environ and not wandb.login(prompt=False, verify=False):
        mode = "offline"
    given: dict[str, Any] = {
        "values": job.run.to_dict(),
        "experiment": job.experiment,
        "arm": job.arm,
        "claims": job.claims,
        "folder": folder,
        "project": job.logger.project,
        "entity": job.logger.entity,
    }
    try:
        return begin_wandb(job.run.run_id, mode=mode, **given)
    except wandb.Error as error:
        # The records are the truth: a failure of W&B does not stop the run.
        reason = str(error).splitlines()[0]
        wandb.teardown()  # it would take the run for one that is still open
        logging.getLogger(__name__).warning("W&B: %s; this run is logged offline", reason)
        return begin_wandb(job.run.run_id, mode="offline", **given)


def begin_wandb(
    run_id: str,
    *,
    values: dict[str, Any],
    experiment: str,
    arm: str,
    claims: Sequence[str],
    folder: Path,
    project: str,
    entity: str | None,
    mode: Literal["online", "offline"] | None = None,
) -> wandb.Run:
    """Begin or resume the W&B run of a run.

    Args:
        run_id: Identity of the run, and of the W&B run.
        values: The run as nested plain values.
        experiment: Name of the experiment.
        arm: Difference from the experiment.
        claims: Names of the claims that it belongs to.
        folder: Where the client keeps its files.
        project: W&B project.
        entity: W&B team or user; None takes the account's default.
        mode: None reads ``WANDB_MODE``.

    Raises:
        wandb.Error: The server does not answer, or refuses.
    """
    if "WANDB_SWEEP_ID" in os.environ:
        # Under an agent the client takes the id from here, and not from its argument.
        os.environ["WANDB_RUN_ID"] = run_id
    run = wandb.init(
        mode=mode,
        project=project,
        entity=entity,
        id=run_id,
        name=f"{arm} seed={values['seed']}",
        group=f"{experiment}: {arm}",
        job_type="train",
        tags=tags(experiment, values["data"]["name"], claims),
        dir=folder,
        resume=None if mode == "offline" else "allow",
        config={
            **values,
            "arm": arm,
            "seed": values["seed"],
            "experiment": experiment,
            "run_id": run_id,
        },
        settings=wandb.Settings(init_timeout=TIMEOUT_SECONDS, finish_timeout=TIMEOUT_SECONDS),
    )
    for axis in AXES:
        run.define_metric(axis, hidden=True)
    for split in ("train", "val"):
        for name in ("top1_error", "top5_error", "loss"):
            run.define_metric(f"{split}/{name}", step_metric="epoch", summary="min")
    return run
