"""Record the learning curve and times of a run; stop it on divergence or at its target."""

import time
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
from pydantic import TypeAdapter
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import TensorBoardLogger

from ablations.config import Recipe
from ablations.record import CurvePoint, OnlineLoss
from ablations.training.classifier import Classifier, log_exactly, score_metrics


class History(Callback):
    """Records the learning curve and times; stops a run that diverges or meets its target.

    Attributes:
        curve: One point per epoch.
        online_loss: See :class:`ablations.record.OnlineLoss`.
        seconds: Training time without evaluation and checkpoints, over all attempts.
        evaluation_seconds: Time of validation and test.
        diverged: Whether the run was stopped because it diverged.

    Args:
        recipe: The recipe, whose ``stop_at`` is the target.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.curve: list[CurvePoint] = []
        self.online_loss = OnlineLoss()
        self.seconds = 0.0
        self.evaluation_seconds = 0.0
        self.diverged = False
        self._running_since: float | None = None

    def on_fit_start(self, trainer: pl.Trainer, module: Any) -> None:
        """Log the epochs up to the checkpoint again; stop if the target was met before."""
        for logger in trainer.loggers:
            # TensorBoard merges the files of all attempts; the others may have lost rows.
            if not isinstance(logger, TensorBoardLogger):
                for point in self.curve:
                    logger.log_metrics(curve_metrics(point), step=point.epoch * module.steps)
        if self._met_target():
            trainer.should_stop = True

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        """Start the clock unless it is running."""
        if self._running_since is None:
            self._running_since = time.perf_counter()

    def _stop_clock(self, module: Any) -> None:
        if self._running_since is None:
            return
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)  # queued steps count as training time
        self.seconds += time.perf_counter() - self._running_since
        self._running_since = None

    def on_validation_start(self, trainer: pl.Trainer, module: Any) -> None:
        self._stop_clock(module)
        self._evaluating_since = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.evaluation_seconds += time.perf_counter() - self._evaluating_since

    def on_test_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.on_validation_start(trainer, module)

    def on_test_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.on_validation_end(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Add a point to the curve; stop if the run has diverged or met its target."""
        self._stop_clock(module)
        if module.diverged:
            self.diverged = trainer.should_stop = True
            return
        epochs = trainer.current_epoch + 1
        schedule: Any = module.lr_schedulers()
        point = CurvePoint(
            epoch=epochs,
            samples=epochs * module.steps * self.recipe.batch_size,
            seconds=self.seconds,
            lr=self.recipe.lr * schedule.factor(epochs * module.steps - 1),
            train=module.train_errors.scores(),
            val=module.val_scores,
        )
        self.curve.append(point)
        self.online_loss = module.online_loss.curve()
        if self._met_target():
            trainer.should_stop = True
        # Loggers add this to the row with the module's errors.
        log_exactly(module, {**axes(point), "step": trainer.global_step})

    def _met_target(self) -> bool:
        """Return whether the online training error was at most ``stop_at`` twice in a row."""
        stop_at, last = self.recipe.stop_at, self.curve[-2:]
        return stop_at is not None and len(last) == 2 and all(p.train.top1 <= stop_at for p in last)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Stop the clock while a checkpoint is written."""
        self._stop_clock(module)

    def state_dict(self) -> dict[str, Any]:
        running = self._running_since
        return {
            "curve": [asdict(point) for point in self.curve],
            "online_loss": asdict(self.online_loss),
            "seconds": self.seconds + (time.perf_counter() - running if running else 0.0),
            "evaluation_seconds": self.evaluation_seconds,
            "threads": torch.get_num_threads(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # The number of threads affects rounding, so a resumed run keeps its first one.
        torch.set_num_threads(state["threads"])
        self.curve = [_POINT.validate_python(point) for point in state["curve"]]
        self.online_loss = OnlineLoss(**state["online_loss"])
        self.seconds, self.evaluation_seconds = state["seconds"], state["evaluation_seconds"]


_POINT = TypeAdapter(CurvePoint)


def axes(point: CurvePoint) -> dict[str, float]:
    """Return the horizontal axes for loggers: epoch, samples, seconds and learning rate."""
    return {name: float(getattr(point, name)) for name in ("epoch", "samples", "seconds", "lr")}


def curve_metrics(point: CurvePoint) -> dict[str, float]:
    """Return the values of a point of the curve by metric name."""
    metrics = axes(point) | score_metrics("train", point.train)
    return metrics if point.val is None else metrics | score_metrics("val", point.val)
