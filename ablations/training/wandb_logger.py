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

# A run waits this long for the server as it starts, and again as it ends. What was not sent by then
# stays on disk for `wandb sync`.
TIMEOUT_SECONDS = 30
# W&B refuses a run whose name or group has more characters.
LONGEST = 128


def build_wandb_logger(job: Job, folder: Path) -> WandbLogger | None:
    """Start the W&B run of a run, or continue it.

    The run is offline unless this machine is logged in or ``WANDB_MODE`` says otherwise, and if the
    server does not answer or refuses. An offline attempt is a W&B run from its first epoch on, also
    when it continues an earlier one, so that ``wandb sync`` needs the last one only: a killed
    client leaves a file that cannot be read.

    Args:
        job: The run. Its id is also the id of the W&B run.
        folder: The run's folder, where the client keeps its files.

    Returns:
        The logger; None, with a warning, if the client does not even start offline.
    """
    if "WANDB_SWEEP_ID" in os.environ:
        # Under an agent the client takes the id from here, and not from its argument.
        os.environ["WANDB_RUN_ID"] = job.run.run_id
    group = f"{job.experiment} on {job.run.data.name}: {job.arm}"
    seed = f" seed={job.run.seed}"
    on_gpu = torch.cuda.is_available() and job.trainer.accelerator is not Accelerator.cpu
    mode = os.environ.get("WANDB_MODE")
    if mode is None:
        mode = "online" if wandb.login(prompt=False, verify=False) else "offline"
    for attempt in (mode, "offline"):
        wandb.teardown()  # the client reads its mode as it starts
        try:
            return ResumableWandbLogger(
                project=job.logger.project,
                entity=job.logger.entity,
                id=job.run.run_id,
                name=shortened(job.label, LONGEST - len(seed)) + seed,
                group=shortened(job.logger.group or group),
                job_type=job.logger.job_type or "train",
                tags=job.logger.tags or None,
                notes=job.logger.notes,
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
    """Cut a text that W&B would refuse; texts that differ in their ends stay different.

    Args:
        text: The text.
        limit: Most characters, at least 12.
    """
    if len(text) <= limit:
        return text
    return f"{text[: limit - 12]}... {hashlib.sha256(text.encode()).hexdigest()[:8]}"


class ResumableWandbLogger(WandbLogger):
    """Lightning's W&B logger, with three things that it does not do.

    - An error of the client is a warning, so that W&B never ends a training.
    - Each epoch is one row. A killed run may repeat an epoch when it continues, and
      :class:`ReplayMetrics` repeats all of them, because some may not have reached the server.
      W&B would append them to those that it has.
    - :meth:`close` reports the exit code. The client sets it when Python exits, which a forked
      process does not do.

    Args:
        options: Those of :class:`WandbLogger`.
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
        """Log a row, unless W&B has its epoch.

        A row within an epoch is left out: Lightning gives it the number of the epochs completed,
        whose row is there. One with an ``epoch`` of its own, such as 1.5, is kept.
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
                log.warning("W&B did not take everything: %s", _first_line(error))
            self.failed = True


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
