import json
import os
import time
from pathlib import Path

import pytest
import torch

from ablations import files
from ablations.config import Accelerator, Recipe, Trainer
from ablations.record import CHECKPOINT, load
from ablations.training import history, progress
from ablations.training.checkpoints import AtomicCheckpointIO, latest_checkpoint
from ablations.training.classifier import Classifier
from ablations.training.progress import Progress


def test_there_is_nothing_to_continue_from_at_first(tmp_path: Path):
    assert latest_checkpoint(tmp_path) is None


def test_a_checkpoint_of_an_earlier_version_is_set_aside(tmp_path: Path):
    torch.save({"state_dict": {}, "ablations": {}}, tmp_path / CHECKPOINT)
    with pytest.warns(UserWarning, match="last.ckpt is of an earlier version"):
        assert latest_checkpoint(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["last.broken.ckpt"]


def test_a_damaged_checkpoint_is_set_aside_and_the_run_starts_anew(tiny_job, train_here):
    job = tiny_job()
    folder = train_here(job)
    (folder / "record.json").unlink()
    whole = (folder / CHECKPOINT).read_bytes()
    (folder / CHECKPOINT).write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match="last.ckpt is damaged: renamed to last.broken.ckpt"):
        train_here(job)
    assert len((folder / "last.broken.ckpt").read_bytes()) == len(whole) // 2
    record = load(folder)
    assert record is not None
    assert record.epochs == 2


@pytest.fixture
def saved(monkeypatch) -> list[int]:
    """Steps after which a checkpoint was written."""
    steps = []
    save = AtomicCheckpointIO.save_checkpoint

    def note(self, checkpoint, path, storage_options=None):
        steps.append(checkpoint["global_step"])
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", note)
    return steps


@pytest.mark.parametrize(
    ("every", "steps"), [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 3, 4, 6]), (9, [3, 6])]
)
def test_checkpoints_within_an_epoch_and_after_it(
    every: int, steps: list[int], tiny_job, train_here, saved: list[int]
):
    folder = train_here(tiny_job(trainer=Trainer(Accelerator.cpu, checkpoint_steps=every)))
    assert saved == steps
    assert [path.name for path in folder.glob("*.ckpt")] == [CHECKPOINT]


def test_the_clock_stands_while_a_checkpoint_is_written(tiny_job, train_here, saved, monkeypatch):
    now = time.perf_counter
    monkeypatch.setattr(history.time, "perf_counter", lambda: now() + 60.0 * len(saved))
    trainer = Trainer(Accelerator.cpu, threads=1, checkpoint_steps=1)
    record = load(train_here(tiny_job(trainer=trainer)))
    assert len(saved) == 6
    assert record is not None
    assert record.seconds < 60


def test_a_checkpoint_is_replaced_in_one_step(tiny_job, train_here, monkeypatch):
    # A kill while a checkpoint is written leaves the one before.
    replaced = []
    replace = os.replace

    def note(source, target):
        if Path(target).name == CHECKPOINT:
            torch.load(source, weights_only=True)  # complete before it gets the name
            replaced.append(Path(source).name)
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", note)
    folder = train_here(tiny_job())
    assert len(replaced) == 2
    assert {path.name for path in folder.iterdir()} >= {CHECKPOINT, "record.json"}
    assert not [name for name in replaced if (folder / name).exists()]


def test_a_diverged_epoch_leaves_no_checkpoint(tiny_job, train_here):
    # The same command would otherwise continue from numbers that are none.
    folder = train_here(tiny_job(recipe=Recipe(epochs=3, batch_size=16, lr=1e9)))
    assert not (folder / CHECKPOINT).exists()


def test_progress_counts_epochs_and_images(tiny_job, train_here, monkeypatch):
    seen = []
    write = progress.write_atomically

    def note(path, content, *, lasting=True):
        if path.suffix == ".json":
            assert not lasting  # training does not wait for the disk
            seen.append(json.loads(content))
        write(path, content, lasting=lasting)

    monkeypatch.setattr(progress, "write_atomically", note)
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.0)
    train_here(tiny_job())
    training = [state for state in seen if state["stage"] == "train"]
    epochs = [round(state["epoch"], 3) for state in training]
    assert epochs == [0.333, 0.667, 1.0, 1.0, 1.333, 1.667, 2.0, 2.0]
    assert all(state["images_per_second"] > 0 for state in training)
    assert training[-1]["seconds_left"] == 0
    assert ["val_top1" in state for state in training] == [False] * 3 + [True] * 5
    testing = [state for state in seen if state["stage"] == "test"]
    assert "seconds_left" not in testing[0]
    # 49 training and 11 validation images in batches of 16, 23 test images one by one.
    assert len(testing) == 1 + 4 + 1 + 23
    assert testing[-1]["seconds_left"] == 0


def test_progress_is_written_at_intervals(tiny_job, train_here, monkeypatch):
    # A file at every step would slow small networks down.
    written = []
    write = Progress._write
    monkeypatch.setattr(
        Progress, "_write", lambda self, *args: (written.append(args[-1]), write(self, *args))
    )
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 1e9)
    train_here(tiny_job())
    assert written == ["train", "train", "test"]


def test_the_rate_of_a_continued_run_counts_its_own_steps_only(tiny_job, train_here, monkeypatch):
    began = []
    monkeypatch.setattr(
        Progress,
        "on_train_epoch_end",
        lambda self, trainer, module: began.append((self.began_at, trainer.global_step)),
    )
    step = Classifier.training_step

    def fail(self, batch, batch_idx):
        if self.trainer.global_step == 4:
            raise ArithmeticError
        return step(self, batch, batch_idx)

    job = tiny_job()
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", fail)
        with pytest.raises(ArithmeticError):
            train_here(job)
    train_here(job)
    assert began == [(0, 3), (3, 6)]
