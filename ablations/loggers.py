"""Mirrors of the records in W&B, TensorBoard or CSV files; no number depends on them."""

import csv
import os
import shutil
from pathlib import Path

import wandb
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from ablations.classifier import score_metrics
from ablations.config import Job, LoggerKind
from ablations.record import Record

AXES = ("epoch", "samples", "seconds")


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
            return _csv_logger(folder)
        case LoggerKind.none:
            return None


def _csv_logger(folder: Path) -> CSVLogger:
    """Lightning begins the file anew; the rows from before an interruption are written again."""
    place = folder / "csv"
    rows = []
    if (place / "metrics.csv").exists():
        with (place / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
    shutil.rmtree(place, ignore_errors=True)
    logger = CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=1)
    for row in rows:
        step = int(row.pop("step"))
        logger.log_metrics({name: float(value) for name, value in row.items() if value}, step)
    return logger


def _wandb_logger(job: Job, folder: Path) -> WandbLogger:
    run = job.run
    mode = None  # the client reads WANDB_MODE
    if "WANDB_MODE" not in os.environ and not wandb.login(prompt=False, verify=False):
        mode = "offline"
    experiment = wandb.init(
        mode=mode,
        project=job.logger.project,
        entity=job.logger.entity,
        id=run.run_id,
        name=f"{job.arm} seed={run.seed}",
        group=f"{job.setting}: {job.arm}",
        tags=[job.setting],
        dir=folder,
        resume=None if mode == "offline" else "allow",
        config={
            **run.to_dict(),
            "arm": job.arm,
            "seed": run.seed,
            "setting": job.setting,
            "run_id": run.run_id,
        },
    )
    for axis in AXES:
        experiment.define_metric(axis, hidden=True)
    for split in ("train", "val"):
        for name in ("top1_error", "top5_error", "loss"):
            experiment.define_metric(f"{split}/{name}", step_metric="epoch", summary="min")
    return WandbLogger(experiment=experiment)


def log_record(logger: Logger, record: Record) -> None:
    """Add the final errors to the mirror.

    W&B gets them as the run's summary, under the names ``test/top1_error`` (ten views) and
    ``test_center/top1_error``.
    """
    metrics = {"status_diverged": float(record.status == "diverged")}
    for name, scores in final_scores(record).items():
        metrics |= score_metrics(name, scores)
    if isinstance(logger, WandbLogger):
        logger.experiment.summary.update(metrics)
    else:
        logger.log_metrics(metrics, step=record.epochs)


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
    if isinstance(logger, WandbLogger):
        wandb.finish(exit_code=exit_code)
    elif logger is not None:
        logger.finalize("success" if exit_code == 0 else "failed")
