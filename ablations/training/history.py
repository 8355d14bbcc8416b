"""The learning curve of a run and its times; ends a run that has diverged or met its target."""

import time
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
from pydantic import TypeAdapter
from pytorch_lightning.callbacks import Callback

from ablations.config import Recipe
from ablations.record import CurvePoint, OnlineLoss
from ablations.training.classifier import Classifier, log_exactly, score_metrics


class History(Callback):
    """Keeps the learning curve and the time, and ends a run that has met its target or diverged.

    Attributes:
        curve: One point per epoch.
        online_loss: See :class:`ablations.record.OnlineLoss`.
        seconds: Training time without evaluation and checkpoints; kept over interruptions.
        evaluation_seconds: Time of validation and test.
        diverged: Whether the run has ended because of its loss.

    Args:
        recipe: Its ``stop_at`` is the target.
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
        """Stop at once if the target was met before an interruption."""
        if self._met_target():
            trainer.should_stop = True

    def on_train_batch_start(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        """Start the clock, unless it runs."""
        if self._running_since is None:
            self._running_since = time.perf_counter()

    def _stop_clock(self, module: Any) -> None:
        if self._running_since is None:
            return
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)  # steps that are queued are training as well
        self.seconds += time.perf_counter() - self._running_since
        self._running_since = None

    def on_validation_start(self, trainer: pl.Trainer, module: Any) -> None:
        self._stop_clock(module)
        self._evaluated_at = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.evaluation_seconds += time.perf_counter() - self._evaluated_at

    def on_test_start(self, trainer: pl.Trainer, module: Any) -> None:
        self._evaluated_at = time.perf_counter()

    def on_test_end(self, trainer: pl.Trainer, module: Any) -> None:
        self.evaluation_seconds += time.perf_counter() - self._evaluated_at

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Classifier) -> None:
        """Add a point to the curve; stop when the loss diverges or the target is met."""
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
        # The module logs the errors into the same row.
        log_exactly(module, {**axes(point), "step": trainer.global_step})

    def _met_target(self) -> bool:
        """Whether the online training error was at or below ``recipe.stop_at`` twice in a row."""
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
        # The number of threads changes rounding: a resumed run keeps the one it began with.
        torch.set_num_threads(state["threads"])
        self.curve = [_POINT.validate_python(point) for point in state["curve"]]
        self.online_loss = OnlineLoss(**state["online_loss"])
        self.seconds, self.evaluation_seconds = state["seconds"], state["evaluation_seconds"]


_POINT = TypeAdapter(CurvePoint)


def axes(point: CurvePoint) -> dict[str, float]:
    """Return what loggers show errors over: epochs, samples, seconds, and the rate."""
    return {name: float(getattr(point, name)) for name in ("epoch", "samples", "seconds", "lr")}


def curve_metrics(point: CurvePoint) -> dict[str, float]:
    """Flatten a point of the curve to the names that loggers show."""
    metrics = axes(point) | score_metrics("train", point.train)
    return metrics if point.val is None else metrics | score_metrics("val", point.val)
