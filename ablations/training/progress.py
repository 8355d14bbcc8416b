"""Write the progress of a run to a file, for the display of its command."""

import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from ablations.data.datamodule import VIEWS_PER_IMAGE, Images
from ablations.files import write_atomically
from ablations.record import PROGRESS

PROGRESS_SECONDS = 0.5
# Cost of a training step relative to its forward pass, which is all that an evaluation needs.
STEP = 3


class Progress(Callback):
    """Keeps ``progress.json`` up to date.

    The fraction done and the time left cover training and evaluation together.

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

    def _write(self, trainer: pl.Trainer, module: Any, stage: str, fraction: float = 0.0) -> None:
        self.written = now = time.monotonic()
        if not trainer.is_global_zero:
            return
        state: dict[str, Any] = {"stage": stage, "epochs": trainer.max_epochs}
        # In training steps; `max_epochs` is never None here.
        training: Any = trainer.max_epochs * module.steps  # pyright: ignore
        evaluation = _count_views(trainer) / STEP / module.run.recipe.batch_size
        if stage == "train":
            rate = (trainer.global_step - self.began_at) / (now - self.began)
            left = training - trainer.global_step + evaluation
            state |= {
                "epoch": trainer.global_step / module.steps,
                "images_per_second": rate * module.run.recipe.batch_size,
                "seconds_left": left / rate if rate else None,
            }
        else:
            left = evaluation * (1 - fraction)
            if fraction:
                state["seconds_left"] = (now - self.began) * (1 / fraction - 1)
        state["done"] = 1 - left / (training + evaluation)
        if val := module.val_scores:
            state["val_top1"] = val.top1
        write_atomically(self.path, json.dumps(state), lasting=False)


def _count_views(trainer: pl.Trainer) -> int:
    """Return the number of views that all loaders of the test have together."""
    images: Images = trainer.datamodule  # pyright: ignore
    single = len(images.train_images) + len(images.val_images)
    return single + VIEWS_PER_IMAGE * len(images.test_images)
