from dataclasses import replace

import pytest
import torch

from ablations import train as module
from ablations.callbacks import CHECKPOINT
from ablations.config import Recipe, Schedule
from ablations.loop import EpochLoop
from ablations.record import load


def test_every_number_is_that_of_lightnings_own_loop(tiny_job, train_here, monkeypatch):
    recipe = Recipe(epochs=2, batch_size=16, lr=0.01, schedule=Schedule.cosine)
    folder = train_here(tiny_job(recipe=recipe))
    ours, record = torch.load(folder / CHECKPOINT, weights_only=False), load(folder)
    for path in folder.iterdir():
        path.unlink()
    monkeypatch.setattr(module, "EpochLoop", lambda trainer: trainer.fit_loop.epoch_loop)
    train_here(tiny_job(recipe=recipe))
    theirs, plain = torch.load(folder / CHECKPOINT, weights_only=False), load(folder)
    for name, value in theirs["state_dict"].items():
        assert torch.equal(value, ours["state_dict"][name]), name
    assert ours["global_step"] == theirs["global_step"] == 6
    assert record is not None
    assert plain is not None
    assert [replace(p, seconds=0.0) for p in record.curve] == [
        replace(p, seconds=0.0) for p in plain.curve
    ]


def test_a_step_calls_the_callbacks_two_hooks(tiny_job, train_here, monkeypatch):
    called: list[str] = []
    for hook in ("on_train_batch_start", "on_train_batch_end"):
        monkeypatch.setattr(
            module.Progress, hook, lambda *arguments, hook=hook: called.append(hook)
        )
    train_here(tiny_job())
    assert called == ["on_train_batch_start", "on_train_batch_end"] * 6


@pytest.mark.parametrize(
    ("owner", "hook"),
    [
        ("Progress", "on_after_backward"),
        ("Classifier", "on_before_optimizer_step"),
        ("Classifier", "on_train_batch_end"),
    ],
)
def test_a_hook_that_would_not_be_called_is_refused(tiny_job, train_here, monkeypatch, owner, hook):
    monkeypatch.setattr(getattr(module, owner), hook, lambda *arguments: None, raising=False)
    with pytest.raises(TypeError, match=rf"{owner}\.{hook} would never be called"):
        train_here(tiny_job())


def test_the_loop_is_what_trains(tiny_job, train_here, monkeypatch):
    trained = []
    advance = EpochLoop.advance
    monkeypatch.setattr(
        EpochLoop, "advance", lambda self, data: (trained.append(1), advance(self, data))
    )
    train_here(tiny_job())
    assert len(trained) == 6
