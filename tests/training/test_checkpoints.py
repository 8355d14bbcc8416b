from dataclasses import replace
from pathlib import Path

import pytest
import torch
from finished import loaded, outcome

from ablations.config import Accelerator, DataConfig, Recipe, Schedule, Trainer
from ablations.record import CHECKPOINT, load
from ablations.techniques import Norm
from ablations.training.checkpoints import AtomicCheckpointIO, latest_checkpoint

BROKEN = "last.broken.ckpt"


# Finding the checkpoint of a run


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2  # weights, which torch loads without an error
    content[middle : middle + 64] = b"\x7f" * 64
    path.write_bytes(content)


def make_old(path: Path) -> None:
    torch.save({"state_dict": {}, "ablations": {}}, path)


@pytest.mark.parametrize("spoil", [cut, garble, make_old])
def test_a_checkpoint_that_cannot_be_used_is_set_aside_and_the_run_starts_anew(
    spoil, tiny_job, train_here, caplog
):
    folder = train_here(tiny_job())
    whole = outcome(folder)
    (folder / "record.json").unlink()
    spoil(folder / CHECKPOINT)
    train_here(tiny_job())
    assert f"{CHECKPOINT} is damaged or of an earlier version: renamed to {BROKEN}" in caplog.text
    assert (folder / BROKEN).exists()
    assert outcome(folder) == whole


def test_the_checkpoint_of_another_run_is_set_aside(
    finished: Path, tiny_job, tmp_path: Path, caplog
):
    other = tiny_job(seed=1).run
    (tmp_path / CHECKPOINT).write_bytes((finished / CHECKPOINT).read_bytes())
    assert latest_checkpoint(tmp_path, tiny_job().run) == tmp_path / CHECKPOINT
    assert latest_checkpoint(tmp_path, other) is None
    assert "is of another run" in caplog.text


# Saving


def test_checkpoints_within_an_epoch_and_after_it(tiny_job, train_here, monkeypatch):
    saved = []
    save = AtomicCheckpointIO.save_checkpoint

    def note(self, checkpoint, path, storage_options=None):
        saved.append(checkpoint["global_step"])
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", note)
    folder = train_here(tiny_job(trainer=Trainer(Accelerator.cpu, checkpoint_steps=2)))
    assert saved == [2, 3, 4, 6]
    assert [path.name for path in folder.glob("*.ckpt")] == [CHECKPOINT]


def test_a_diverged_epoch_leaves_no_checkpoint(tiny_job, train_here):
    # Otherwise the same command would resume from NaN.
    folder = train_here(tiny_job(recipe=Recipe(epochs=3, batch_size=16, lr=1e9)))
    assert not (folder / CHECKPOINT).exists()


# Interruption


@pytest.mark.parametrize(
    ("hook", "step", "kept", "batches"),
    [
        ("on_train_batch_end", 5, 5, 2),
        ("on_validation_batch_start", 6, 3, 0),  # the epoch is repeated
        ("on_test_start", 6, 6, 0),
    ],
    ids=["in epoch 2", "in a validation", "in the test"],
)
def test_an_interrupted_run_continues_bit_by_bit(
    hook: str, step: int, kept: int, batches: int, tiny_job, train_here, train_anew, interrupt
):
    job = tiny_job(recipe=Recipe(epochs=2, batch_size=16, lr=0.01, schedule=Schedule.cosine))
    folder = interrupt(job, hook, step)
    assert load(folder) is None
    checkpoint = torch.load(folder / CHECKPOINT, weights_only=True)
    done = checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
    assert (checkpoint["global_step"], done) == (kept, [{"batches": batches}])
    resumed = outcome(train_here(job))
    assert outcome(train_anew(job)) == resumed


STOPPING = {"recipe": Recipe(epochs=6, batch_size=16, lr=0.01, stop_at=0.99)}
PLATEAU = Recipe(epochs=3, batch_size=16, lr=0.01, schedule=Schedule.plateau, patience=1)


@pytest.mark.parametrize(
    ("changes", "hook", "step"),
    [
        ({"data": DataConfig(size=16, crop=12, val_size=0)}, "on_test_start", 6),
        ({"norm": Norm.batchnorm, "recipe": PLATEAU}, "on_train_batch_end", 7),
        (STOPPING, "on_test_start", 6),
    ],
    ids=["no validation, in the test", "plateau", "target met, in the test"],
)
def test_runs_of_every_kind_continue_bit_by_bit(
    changes: dict, hook: str, step: int, tiny_job, train_here, train_anew, interrupt
):
    job = tiny_job(**changes)
    interrupt(job, hook, step)
    resumed = outcome(train_here(job))
    assert outcome(train_anew(job)) == resumed


def test_a_resumed_run_keeps_the_threads_that_it_was_started_with(tiny_job, train_here, interrupt):
    job = tiny_job()
    two, one = (replace(job, trainer=replace(job.trainer, threads=n)) for n in (2, 1))
    interrupt(two, step=1)
    assert loaded(train_here(one)).hardware.threads == 2
