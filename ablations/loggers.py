"""Loggers in W&B, TensorBoard or CSV files; results do not depend on them."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from ablations.callbacks import History, curve_metrics
from ablations.classifier import score_metrics
from ablations.config import Job, LoggerKind
from ablations.record import Record


def build_logger(job: Job, folder: Path) -> Logger | None:
    """Build the logger of a run, its files inside the run's folder.

    One W&B run for each run, under the same id after an interruption; offline unless this machine
    is logged in or ``WANDB_MODE`` says otherwise. W&B is imported here, if it is chosen.
    """
    if job.fast_dev_run:
        return None
    match job.logger.kind:
        case LoggerKind.wandb:
            from ablations.wandb_logger import ResumableWandbLogger

            return ResumableWandbLogger(job, folder)
        case LoggerKind.tensorboard:
            return TensorBoardLogger(folder, name="tensorboard", version="")
        case LoggerKind.csv:
            # Lightning begins the file anew; `ReplayMetrics` writes the earlier epochs into it.
            shutil.rmtree(folder / "csv", ignore_errors=True)
            return CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=1)
        case LoggerKind.none:
            return None


class ReplayMetrics(pl.Callback):
    """Logs the earlier epochs of a resumed run again, for loggers that may have lost them.

    Args:
        history: What is known of them.
    """

    def __init__(self, history: History) -> None:
        self.history = history

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Go through the curve up to the checkpoint."""
        for logger in trainer.loggers:
            if not isinstance(logger, TensorBoardLogger):
                for point in self.history.curve:
                    logger.log_metrics({**curve_metrics(point)}, step=point.epoch)


def tags(experiment: str, dataset: str, claims: Sequence[str]) -> list[str]:
    """What dashboards filter by: ``experiment:smoke``, ``dataset:CIFAR-10``, ``claim:...``."""
    marks = [
        f"experiment:{experiment}",
        f"dataset:{dataset}",
        *(f"claim:{name}" for name in claims),
    ]
    return [mark[:64] for mark in marks]  # as long as W&B allows


def log_record(logger: Logger, record: Record) -> None:
    """Log the final errors.

    W&B gets them as the run's summary, under the names ``test/top1_error`` (ten views) and
    ``test_center/top1_error``.
    """
    if hasattr(logger, "log_record"):
        logger.log_record(record)  # pyright: ignore
    else:
        logger.log_metrics(final_metrics(record), step=record.epochs)


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
    if hasattr(logger, "close"):
        logger.close(exit_code)  # pyright: ignore
    elif logger is not None:
        logger.finalize("success" if exit_code == 0 else "failed")
