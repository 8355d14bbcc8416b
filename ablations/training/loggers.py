"""Log to W&B, TensorBoard or CSV files; results do not depend on the logger."""

import shutil
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

from ablations.config import Job, LoggerKind
from ablations.record import Record
from ablations.training.classifier import score_metrics


def build_logger(job: Job, folder: Path) -> Logger | None:
    """Build the logger of a run, which writes into the run's folder.

    Args:
        job: The run.
        folder: The run's folder.

    Returns:
        The logger; None for ``logger=none``, for a fast_dev_run, and if the W&B client cannot
        start.
    """
    if job.fast_dev_run:
        return None
    match job.logger.kind:
        case LoggerKind.wandb:
            # Imported here: it takes a second, and other loggers do not need the package.
            from ablations.training.wandb_logger import build_wandb_logger

            return build_wandb_logger(job, folder)
        case LoggerKind.tensorboard:
            return TensorBoardLogger(folder, name="tensorboard", version="")
        case LoggerKind.csv:
            # Lightning starts a new file; `History` writes the earlier epochs into it.
            shutil.rmtree(folder / "csv", ignore_errors=True)
            return CSVLogger(folder, name="csv", version="", flush_logs_every_n_steps=1)
        case LoggerKind.none:
            return None


def final_metrics(record: Record) -> dict[str, float]:
    """Return the final metrics of a run by the names that loggers show.

    ``test/top1_error`` (ten views), ``test_center/top1_error``, ``val_final/top1_error`` and
    ``train_clean/top1_error``, the same for the top-5 error and the loss; ``gap/top1_error``, the
    test error in the center view minus ``train_clean``; the measures of §6.1, ``color/difference``,
    ``neighbors/features`` and ``neighbors/pixels``. A diverged run has none of these, and a run
    without validation images has no ``val_final``. Every run has ``status_diverged``,
    ``parameters``, ``classes`` and ``images_per_second``.
    """
    scores = {
        "train_clean": record.train,
        "val_final": record.val,
        "test": record.test.get("ten_view"),
        "test_center": record.test.get("center"),
    }
    metrics = {
        "status_diverged": float(record.status == "diverged"),
        "parameters": float(record.parameters),
        "classes": float(record.data.classes),
        "images_per_second": record.images_per_second,
    }
    for name, found in scores.items():
        metrics |= score_metrics(name, found) if found is not None else {}
    if record.train and (center := record.test.get("center")):
        metrics["gap/top1_error"] = center.top1 - record.train.top1
    if record.colors:
        metrics["color/difference"] = abs(record.colors[0] - record.colors[1])
    if record.neighbors:
        metrics["neighbors/features"] = record.neighbors.features
        metrics["neighbors/pixels"] = record.neighbors.pixels
    return metrics


def close_logger(logger: Logger | None, exit_code: int) -> None:
    """Flush the logger; W&B marks the run as failed unless ``exit_code`` is 0."""
    if logger is None:
        return
    if close := getattr(logger, "close", None):
        close(exit_code)
    else:
        logger.finalize("success" if exit_code == 0 else "failed")
