"""What accompanies a training: its history, its checkpoints, and a file that says how far it is."""

import json
import os
import pickle
import signal
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pydantic import TypeAdapter
from pytorch_lightning.callbacks import Callback, ModelCheckpoint

from ablations.classifier import Classifier, log_exactly, score_metrics
from ablations.config import Recipe
from ablations.files import write_atomically
from ablations.record import CHECKPOINT, PROGRESS, CurvePoint, OnlineLoss

PROGRESS_SECONDS = 0.5


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
        """End at once what was interrupted after its last epoch."""
        trainer.should_stop = self._met_target()

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
        trainer.should_stop = self._met_target()
        # The module logs the errors into the same row.
        log_exactly(module, {**axes(point), "step": epochs})

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
        # Results depend on the number, in the order of sums: whatever is asked for now.
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


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint in one step that survives a kill and a power cut."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write the checkpoint beside the one before, and rename it."""
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


class Saver(ModelCheckpoint):
    """Writes ``last.ckpt`` every so many steps, and before giving in to SIGTERM.

    Several processes would have to agree on the step to stop at; they end at once instead, and
    continue from the last checkpoint. The checkpoint after each epoch is a plain
    :class:`ModelCheckpoint`'s, see :func:`checkpoints`.

    Args:
        folder: The run's folder.
        every: Steps between checkpoints within an epoch.
    """

    def __init__(self, folder: Path, every: int) -> None:
        super().__init__(**_place(folder), every_n_train_steps=every)
        self.path = folder / CHECKPOINT
        self.stop_signal = 0

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Take SIGTERM over from Lightning, which would leave with exit code 0."""
        one = trainer.world_size == 1
        signal.signal(signal.SIGTERM, self._ask_to_stop if one else _stop_now)

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        signal.signal(signal.SIGTERM, _stop_now)
        self._leave_if_asked()

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_signal = number

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        # After the last batch the epoch's own checkpoint follows.
        if batch_idx + 1 == trainer.num_training_batches:
            return
        if self.stop_signal and not trainer.fast_dev_run:  # pyright: ignore
            trainer.save_checkpoint(self.path)
        self._leave_if_asked()
        super().on_train_batch_end(trainer, module, outputs, batch, batch_idx)

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        if self.stop_signal:
            _stop_now(self.stop_signal, None)


class EpochSaver(ModelCheckpoint):
    """Writes ``last.ckpt`` after every epoch that has not diverged.

    Args:
        folder: The run's folder.
        saver: Has been asked to stop, perhaps.
    """

    def __init__(self, folder: Path, saver: Saver) -> None:
        super().__init__(**_place(folder), every_n_epochs=1, save_on_train_epoch_end=True)
        self.saver = saver

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not module.diverged:
            super().on_train_epoch_end(trainer, module)
        self.saver._leave_if_asked()


def _place(folder: Path) -> dict[str, Any]:
    name = CHECKPOINT.removesuffix(".ckpt")
    return {"dirpath": folder, "filename": name, "enable_version_counter": False}


def _stop_now(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint to continue from, if there is one.

    One that is damaged, or of an earlier version, is renamed to ``last.broken.ckpt`` with a
    warning.
    """
    path = folder / CHECKPOINT
    if not path.exists() or not (reason := _flaw(path)):
        return path if path.exists() else None
    broken = path.with_suffix(".broken.ckpt")
    with suppress(FileNotFoundError):  # another rank was faster
        os.replace(path, broken)
        warnings.warn(
            f"{path} is {reason}: renamed to {broken.name}; the run starts anew", stacklevel=2
        )
    return None


def _flaw(path: Path) -> str:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return "damaged"
    return "" if "hyper_parameters" in content else "of an earlier version"


class Progress(Callback):
    """Keeps ``progress.json`` up to date for whoever watches the run.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / PROGRESS
        self.written = 0.0

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.began, self.began_at = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self.written > PROGRESS_SECONDS:
            self._write(trainer, module, "train")

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        self._write(trainer, module, "train")

    def on_test_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.began = time.monotonic()
        self._write(trainer, module, "test")

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if time.monotonic() - self.written > PROGRESS_SECONDS:
            batches = trainer.num_test_batches
            done = sum(batches[:dataloader_idx]) + batch_idx + 1
            self._write(trainer, module, "test", done / sum(batches))

    def _write(self, trainer: pl.Trainer, module: Any, stage: str, tested: float = 0.0) -> None:
        self.written = now = time.monotonic()
        if not trainer.is_global_zero:
            return
        state: dict[str, Any] = {"stage": stage, "epochs": trainer.max_epochs}
        if tested:
            state["seconds_left"] = (now - self.began) * (1 / tested - 1)
        if stage == "train":
            steps = trainer.global_step - self.began_at
            total = trainer.max_epochs * trainer.num_training_batches  # pyright: ignore
            rate = steps / (now - self.began)
            state |= {
                "epoch": trainer.global_step / trainer.num_training_batches,
                "images_per_second": rate * module.run.recipe.batch_size,
                "seconds_left": (total - trainer.global_step) / rate if rate else None,
            }
        if val := module.val_scores:
            state["val_top1"] = val.top1
        write_atomically(self.path, json.dumps(state), lasting=False)
