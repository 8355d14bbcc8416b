"""The W&B logger of a run; imported only where W&B is used."""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import wandb
from pytorch_lightning.loggers import WandbLogger

from ablations.config import Accelerator, Job

log = logging.getLogger(__name__)

# Time to wait for the server when a run starts, and again when it ends. Data that are not sent by
# then stay on disk for `wandb sync`.
TIMEOUT_SECONDS = 30
# Maximum length of the name and the group of a run in W&B.
LONGEST = 128


def build_wandb_logger(job: Job, folder: Path) -> WandbLogger | None:
    """Start or resume the W&B run of a run.

    ``WANDB_MODE`` decides whether it is offline; if unset, it is online on a machine that is logged
    in. It is also offline if the server refuses or does not answer. Because a killed client
    leaves an unreadable file, each offline attempt logs all epochs again, and ``wandb sync`` needs
    only the last attempt.

    Args:
        job: The run. Its id is also the id of the W&B run.
        folder: The run's folder, where the client keeps its files.

    Returns:
        The logger; None, with a warning, if the client cannot even start offline.
    """
    if "WANDB_SWEEP_ID" in os.environ:
        # Under a sweep agent, the client takes the id from here instead of from its argument.
        os.environ["WANDB_RUN_ID"] = job.run.run_id
    group = f"{job.experiment} on {job.run.data.name}: {job.arm}"
    seed = f" seed={job.run.seed}"
    on_gpu = torch.cuda.is_available() and job.trainer.accelerator is not Accelerator.cpu
    mode = os.environ.get("WANDB_MODE")
    if mode is None:
        mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
    for attempt in (mode, "offline"):
        wandb.teardown()  # the client reads its mode when it starts
        try:
            return ResumableWandbLogger(
                project=job.logger.project,
                entity=job.logger.entity,
                id=job.run.run_id,
                name=shortened(job.label, LONGEST - len(seed)) + seed,
                group=shortened(job.logger.group or group),
                job_type=job.logger.job_type or "train",
                save_dir=folder,
                offline=attempt == "offline",
                resume="allow" if attempt == "online" else None,
                config={
                    **job.run.to_dict(),
                    "run_id": job.run.run_id,
                    "experiment": job.experiment,
                    "arm": job.arm,
                    "group": group,
                    "label": job.label,
                    "accelerator": "gpu" if on_gpu else "cpu",
                    "devices": job.trainer.devices * job.trainer.num_nodes,
                    "threads": job.trainer.threads,
                },
                settings=wandb.Settings(
                    init_timeout=TIMEOUT_SECONDS, finish_timeout=TIMEOUT_SECONDS
                ),
            )
        except Exception as error:
            outcome = "not logged" if attempt == "offline" else "logged offline"
            log.warning("W&B: %s; this run is %s", _first_line(error), outcome)
    return None


def shortened(text: str, limit: int = LONGEST) -> str:
    """Shorten a text that W&B would refuse; a hash keeps different texts different.

    Args:
        text: The text.
        limit: Maximum number of characters, at least 12.
    """
    if len(text) <= limit:
        return text
    return f"{text[: limit - 12]}... {hashlib.sha256(text.encode()).hexdigest()[:8]}"


class ResumableWandbLogger(WandbLogger):
    """Lightning's W&B logger with three additions.

    - Errors of the client become warnings, so that W&B never aborts a training.
    - Each epoch is logged once. A resumed run may repeat an epoch, and ``History``
      repeats all of them, because some may not have reached the server; W&B would append
      duplicates.
    - :meth:`close` reports the exit code. The client does so only when Python exits normally, which
      a forked process does not.

    Args:
        options: Passed to :class:`WandbLogger`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.last_epoch: float = self.experiment.summary.get("epoch") or 0
        self.failed = False
        self.experiment.define_metric("epoch", hidden=True)
        for axis in ("samples", "seconds", "lr"):
            self.experiment.define_metric(axis, step_metric="epoch", hidden=axis != "lr")
        for split in ("train", "val"):
            for name in ("top1_error", "top5_error", "loss"):
                self.experiment.define_metric(
                    f"{split}/{name}", step_metric="epoch", summary="min,last"
                )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row unless W&B has its epoch.

        Rows within an epoch are dropped, because Lightning numbers them with the last completed
        epoch. A row with its own ``epoch``, such as 1.5, is kept.
        """
        epoch = metrics.get("epoch", self.last_epoch + 1)
        if epoch > self.last_epoch:
            with self._errors_as_warning():
                super().log_metrics(metrics, step)
                self.last_epoch = metrics.get("epoch", self.last_epoch)

    def close(self, exit_code: int) -> None:
        """Finish the W&B run, marked as failed unless ``exit_code`` is 0."""
        with self._errors_as_warning():
            self.experiment.finish(exit_code=exit_code)

    @contextmanager
    def _errors_as_warning(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not self.failed:
                log.warning("W&B: some metrics were not logged: %s", _first_line(error))
            self.failed = True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
