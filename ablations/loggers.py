"""Mirrors of the records in W&B, TensorBoard or CSV files; no number depends on them."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import wandb
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from ablations.classifier import Classifier, curve_metrics, score_metrics
from ablations.config import Job, LoggerKind
from ablations.record import Record

AXES = ("epoch", "samples", "seconds")

# W&B may be slow to answer; no run waits longer for it than this, and what it did not take stays
# on disk.
PATIENCE_SECONDS = 30


def build_logger(job: Job, folder: Path) -> Logger | None:
    """The logger of a run, its files inside the run's folder.

    One W&B run for each run, under the same id after an interruption; offline unless this machine
    is logged in or ``WANDB_MODE`` says otherwise.
    """
    if job.fast_dev_run:
        return None
    match job.logger.kind:
        case LoggerKind.wandb:
            return _wandb_logger(job, folder)
        case LoggerKind.tensorboard:
            return TensorBoardLogger(folder, name="tensorboard", version="")
        case LoggerKind.csv:
            # Lightning begins the file anew; `CatchUp` writes the epochs of before into it.
            shutil.rmtree(folder / "csv", ignore_errors=True)
            return CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=1)
        case LoggerKind.none:
            return None


class EpochsOnce(WandbLogger):
    """Sends each epoch once: a run that was cut off repeats some, and may have lost others.

    Args:
        experiment: The W&B run, begun or gone on with.
    """

    def __init__(self, experiment: wandb.Run) -> None:
        super().__init__(experiment=experiment)
        self.sent: float = experiment.summary.get("epoch") or 0
        self.lost = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log a row, unless its epoch is there already."""
        epoch = metrics.get("epoch", self.sent + 1)
        if epoch > self.sent:
            with self.no_reason_to_stop():
                super().log_metrics(metrics, step)
                self.sent = epoch

    @contextmanager
    def no_reason_to_stop(self) -> Iterator[None]:
        """Whatever W&B does, the run goes on; ``dashboard.py --sync`` sends what is missing."""
        try:
            yield
        except Exception as error:
            if not self.lost:
                logging.getLogger(__name__).warning("W&B did not take everything: %s", error)
            self.lost = True


class CatchUp(pl.Callback):
    """Logs what a resumed run has logged before, where that is lost."""

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Go through the curve up to the checkpoint."""
        for logger in trainer.loggers:
            if isinstance(logger, EpochsOnce | CSVLogger) and isinstance(module, Classifier):
                for point in module.curve:
                    logger.log_metrics({**curve_metrics(point)}, step=point.epoch)


def _wandb_logger(job: Job, folder: Path) -> EpochsOnce:
    mode = None  # the client reads WANDB_MODE
    if "WANDB_MODE" not in os.environ and not wandb.login(prompt=False, verify=False):
        mode = "offline"
    given: dict[str, Any] = {
        "values": job.run.to_dict(),
        "setting": job.setting,
        "arm": job.arm,
        "claims": job.claims,
        "folder": folder,
        "project": job.logger.project,
        "entity": job.logger.entity,
    }
    try:
        experiment = begin_wandb(job.run.run_id, mode=mode, **given)
    except wandb.Error as error:
        # The records are the truth: W&B is no reason to stop.
        reason = str(error).splitlines()[0]
        wandb.teardown()  # it would take the run for one that is still open
        logging.getLogger(__name__).warning("W&B: %s; this run is logged offline", reason)
        experiment = begin_wandb(job.run.run_id, mode="offline", **given)
    return EpochsOnce(experiment)


def begin_wandb(
    run_id: str,
    *,
    values: dict[str, Any],
    setting: str,
    arm: str,
    claims: Sequence[str],
    folder: Path,
    project: str,
    entity: str | None,
    mode: Literal["online", "offline"] | None = None,
) -> wandb.Run:
    """Begin the W&B run of a run, or go on with it.

    Args:
        run_id: Identity of the run, and of the W&B run.
        values: The run as nested plain values.
        setting: Name of the setting.
        arm: Difference from the setting.
        claims: Names of the claims that it belongs to.
        folder: Where the client keeps its files.
        project: W&B project.
        entity: W&B team or user; none takes the account's default.
        mode: None reads ``WANDB_MODE``.

    Raises:
        wandb.Error: The server does not answer, or refuses.
    """
    if "WANDB_SWEEP_ID" in os.environ:
        # Under an agent the client takes the id from here, and not from its argument.
        os.environ["WANDB_RUN_ID"] = run_id
    experiment = wandb.init(
        mode=mode,
        project=project,
        entity=entity,
        id=run_id,
        name=f"{arm} seed={values['seed']}",
        group=f"{setting}: {arm}",
        job_type="train",
        tags=tags(setting, values["dataset"]["name"], claims),
        dir=folder,
        resume=None if mode == "offline" else "allow",
        config={
            **values,
            "arm": arm,
            "seed": values["seed"],
            "setting": setting,
            "run_id": run_id,
        },
        settings=wandb.Settings(init_timeout=PATIENCE_SECONDS, finish_timeout=PATIENCE_SECONDS),
    )
    for axis in AXES:
        experiment.define_metric(axis, hidden=True)
    for split in ("train", "val"):
        for name in ("top1_error", "top5_error", "loss"):
            experiment.define_metric(f"{split}/{name}", step_metric="epoch", summary="min")
    return experiment


def tags(setting: str, dataset: str, claims: Sequence[str]) -> list[str]:
    """What dashboards filter by: ``setting:smoke``, ``dataset:CIFAR-10``, ``claim:...``."""
    marks = [f"setting:{setting}", f"dataset:{dataset}", *(f"claim:{name}" for name in claims)]
    return [mark[:64] for mark in marks]  # as long as W&B allows


def log_record(logger: Logger, record: Record) -> None:
    """Add the final errors to the mirror.

    W&B gets them as the run's summary, under the names ``test/top1_error`` (ten views) and
    ``test_center/top1_error``.
    """
    metrics = final_metrics(record)
    if isinstance(logger, EpochsOnce):
        with logger.no_reason_to_stop():
            logger.experiment.summary.update({**metrics, "record": digest(record)})
    else:
        logger.log_metrics(metrics, step=record.epochs)


def final_metrics(record: Record) -> dict[str, float]:
    """What is known only of a finished run, by the name that loggers show."""
    metrics = {"status_diverged": float(record.status == "diverged")}
    for name, scores in final_scores(record).items():
        metrics |= score_metrics(name, scores)
    return metrics


def digest(record: Record) -> str:
    """Twelve hexadecimal digits by which a mirror knows that it has all of a record."""
    return hashlib.sha256(json.dumps(asdict(record), sort_keys=True).encode()).hexdigest()[:12]


def final_scores(record: Record) -> dict:
    """Errors of the trained network by the name that loggers show."""
    scores = {"train_clean": record.train, "val_final": record.val}
    scores |= {
        "test": record.test.get("ten_view"),
        "test_center": record.test.get("center"),
    }
    return {name: value for name, value in scores.items() if value is not None}


def close_logger(logger: Logger | None, exit_code: int) -> None:
    """Write out what is left; W&B marks the run as failed unless ``exit_code`` is 0."""
    if isinstance(logger, EpochsOnce):
        with logger.no_reason_to_stop():
            wandb.finish(exit_code=exit_code)
    elif logger is not None:
        logger.finalize("success" if exit_code == 0 else "failed")
