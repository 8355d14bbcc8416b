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
        self.val_error: dict[str, float] = {}

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.began, self.began_at = time.monotonic(), trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if time.monotonic() - self.written > PROGRESS_SECONDS:
            self._write(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if val := module.val_scores:
            self.val_error = {"val_top1": val.top1}
        self._write(trainer, module)

    def on_test_start(self, trainer: pl.Trainer, module: Any) -> None:
        self.began, self.began_at = time.monotonic(), module.run.recipe.epochs * module.steps
        self._write(trainer, module)

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
            self._write(trainer, module, done / sum(batches))

    def _write(self, trainer: pl.Trainer, module: Any, tested: float = 0.0) -> None:
        """Write the progress; ``tested`` is the fraction of the test batches that are done."""
        self.written = now = time.monotonic()
        if not trainer.is_global_zero:
            return
        recipe = module.run.recipe
        # All work is counted in training steps.
        evaluation = _count_views(trainer) / STEP / recipe.batch_size
        whole = recipe.epochs * module.steps + evaluation
        done = self.began_at + evaluation * tested if trainer.testing else trainer.global_step
        rate = (done - self.began_at) / (now - self.began)
        state = {
            "stage": "test" if trainer.testing else "train",
            "epochs": recipe.epochs,
            "done": done / whole,
            "seconds_left": (whole - done) / rate if rate else None,
            **self.val_error,
        }
        if not trainer.testing:
            state |= {
                "epoch": trainer.global_step / module.steps,
                "images_per_second": rate * recipe.batch_size,
            }
        write_atomically(self.path, json.dumps(state), lasting=False)


def _count_views(trainer: pl.Trainer) -> int:
    """Return the number of views that all loaders of the test have together."""
    images: Images = trainer.datamodule  # pyright: ignore
    single = len(images.train_images) + len(images.val_images)
    return single + VIEWS_PER_IMAGE * len(images.test_images)
