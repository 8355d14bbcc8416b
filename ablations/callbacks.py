"""Checkpoints that lose nothing, and a file that says how far a run is."""

import json
import os
import signal
import sys
import time
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, Checkpoint

from ablations.files import write_atomically
from ablations.record import CHECKPOINT, PROGRESS

PROGRESS_SECONDS = 0.5


class Saver(Checkpoint):
    """Writes ``last.ckpt`` after every epoch, within long epochs, and before giving in to SIGTERM.

    A checkpoint within an epoch holds the number of batches done; the batch sampler skips as many.
    Several processes would have to agree on the step to stop at; they end at once instead, and
    continue from the last checkpoint.

    Args:
        folder: The run's folder.
        every: Steps between checkpoints within an epoch.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.path = folder / CHECKPOINT
        self.every = every
        self.stop_signal = 0

    @property
    def latest(self) -> Path | None:
        """The checkpoint to continue from, if there is one.

        One that is not whole is renamed to ``last.broken.ckpt`` with a warning.
        """
        if not self.path.exists():
            return None
        if zipfile.is_zipfile(self.path):  # its directory comes last
            return self.path
        broken = self.path.with_suffix(".broken.ckpt")
        with suppress(FileNotFoundError):  # another rank was faster
            os.replace(self.path, broken)
            warnings.warn(
                f"{self.path} is damaged: renamed to {broken.name}; the run starts anew",
                stacklevel=2,
            )
        return None

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Take SIGTERM over from Lightning, which would leave with exit code 0."""
        if trainer.world_size == 1:
            signal.signal(signal.SIGTERM, self._ask_to_stop)
        else:
            signal.signal(signal.SIGTERM, _stop_now)

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        signal.signal(signal.SIGTERM, _stop_now)
        if self.stop_signal:
            _stop_now(self.stop_signal, None)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_signal = number

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = batch_idx + 1
        # After the last batch the epoch's own checkpoint follows.
        if done == trainer.num_training_batches:
            return
        if self.stop_signal or done % self.every == 0:
            module.stop_clock()
            self._save(trainer)
            module.start_clock()
        self._leave_if_asked()

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._leave_if_asked()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not module.diverged:
            self._save(trainer)
        self._leave_if_asked()

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.fast_dev_run:  # pyright: ignore
            return
        beside = self.path.with_suffix(".tmp")
        trainer.save_checkpoint(beside)
        if trainer.is_global_zero:
            with beside.open("rb") as file:
                os.fsync(file.fileno())  # or a power cut leaves an empty file under the name
            os.replace(beside, self.path)

    def _leave_if_asked(self) -> None:
        if self.stop_signal:
            _stop_now(self.stop_signal, None)


def _stop_now(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


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
        if module.curve and module.curve[-1].val:
            state["val_top1"] = module.curve[-1].val.top1
        write_atomically(self.path, json.dumps(state), lasting=False)
