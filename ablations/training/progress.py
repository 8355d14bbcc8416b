"""A file that says how far a run is, for the display of the command that started it."""

import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ablations.files import write_atomically
from ablations.record import PROGRESS

PROGRESS_SECONDS = 0.5


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
