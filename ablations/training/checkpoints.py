"""Save checkpoints within and after each epoch and on SIGTERM, and find the latest."""

import logging
import os
import signal
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ablations.config import ConfigError, Run
from ablations.files import write_atomically
from ablations.models.pretrained import read_checkpoint
from ablations.record import CHECKPOINT

log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint atomically, also if the process is killed or the power fails."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write the checkpoint to a temporary file, and rename it to ``path``."""
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())


class Saver(Checkpoint):
    """Writes ``last.ckpt`` every ``every`` steps, after each epoch, and before exiting on SIGTERM.

    On SIGTERM, a run with several processes exits without a checkpoint, because they would have to
    agree on a step first. A diverged epoch is not saved. Lightning's ``ModelCheckpoint`` saves at
    steps or after epochs, not both, and not on a signal.

    Args:
        folder: The run's folder.
        every: Steps between checkpoints within an epoch.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.path, self.every = folder / CHECKPOINT, every
        self.stop_signal = 0

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Replace Lightning's handler of SIGTERM, which would exit with code 0."""
        one = trainer.world_size == 1
        signal.signal(signal.SIGTERM, self._ask_to_stop if one else stop_now)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_signal = number

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            return  # the epoch's own checkpoint follows
        if self.stop_signal or trainer.global_step % self.every == 0:
            self._save(trainer)
        self._stop_if_asked()

    def on_validation_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        self._stop_if_asked()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        if not module.diverged:
            self._save(trainer)
        self._stop_if_asked()

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        signal.signal(signal.SIGTERM, stop_now)
        self._stop_if_asked()

    def _save(self, trainer: pl.Trainer) -> None:
        if not trainer.fast_dev_run:  # pyright: ignore
            trainer.save_checkpoint(self.path)

    def _stop_if_asked(self) -> None:
        if self.stop_signal:
            stop_now(self.stop_signal)


def stop_now(number: int, frame: FrameType | None = None) -> None:
    """Exit with code 128 + ``number``, as shells report a signal."""
    sys.exit(128 + number)


def latest_checkpoint(folder: Path, run: Run) -> Path | None:
    """Return the checkpoint to resume a run from, or None.

    A checkpoint that is damaged, of an earlier version or of another run is renamed to
    ``last.broken.ckpt``, with a warning.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        saved = Run.from_dict(read_checkpoint(path)["hyper_parameters"]["run"])
        if saved.run_id == run.run_id:
            return path
        reason = "of another run"
    except (ConfigError, KeyError):
        reason = "damaged or of an earlier version"
    broken = path.with_suffix(".broken.ckpt")
    with suppress(FileNotFoundError):  # already renamed by another rank
        os.replace(path, broken)
        log.warning("%s is %s: renamed to %s; the run starts over", path, reason, broken.name)
    return None
