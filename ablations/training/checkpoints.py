"""Checkpoints: after every epoch, within one, and before a run gives in to SIGTERM."""

import os
import pickle
import signal
import sys
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint

from ablations.files import write_atomically
from ablations.record import CHECKPOINT


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
