"""The learning curve, the clock, and runs that stop early, at a target or on divergence."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from finished import loaded

from ablations import metrics
from ablations.config import Accelerator, Recipe, Trainer
from ablations.record import CHECKPOINT, PREDICTIONS, CurvePoint, Record
from ablations.training.classifier import Classifier


def test_the_curve_has_a_point_for_each_epoch(record: Record):
    assert [(p.epoch, p.samples, p.lr) for p in record.curve] == [(1, 48, 0.01), (2, 96, 0.01)]
    assert [(p.train.count, p.val.count) for p in record.curve] == [(48, 11), (48, 11)]
    assert record.curve[0].seconds < record.curve[1].seconds
    assert record.val == record.curve[-1].val


def test_validation_after_every_second_epoch_changes_the_curve_alone(
    tiny_job, train_here, record: Record
):
    trainer = Trainer(Accelerator.cpu, check_val_every_n_epoch=2)
    sparse = loaded(train_here(tiny_job(trainer=trainer)))
    assert [point.val for point in sparse.curve] == [None, record.curve[1].val]
    assert [point.train for point in sparse.curve] == [point.train for point in record.curve]
    assert (sparse.run_id, sparse.val, sparse.test) == (record.run_id, record.val, record.test)


def test_the_online_loss_is_the_mean_over_windows_of_steps(tiny_job, train_here, monkeypatch):
    monkeypatch.setattr(metrics, "window_ends", lambda steps: [1, 4, steps])
    losses = []
    step = Classifier.training_step

    def note(self, batch, batch_idx):
        losses.append(step(self, batch, batch_idx))  # the mean over the batch
        return losses[-1]

    monkeypatch.setattr(Classifier, "training_step", note)
    online = loaded(train_here(tiny_job())).online_loss
    assert online.steps == [1, 4, 6]
    means = torch.stack(losses).tolist()
    expected = [means[0], np.mean(means[1:4]), np.mean(means[4:])]
    assert online.loss == pytest.approx(expected)


# The clock


def test_the_clock_goes_on_after_an_interruption(tiny_job, train_here, interrupt):
    folder = interrupt(tiny_job())
    checkpoint = torch.load(folder / CHECKPOINT, weights_only=True)["callbacks"]["History"]
    record = loaded(train_here(tiny_job()))
    assert record.curve[0].seconds == checkpoint["curve"][0]["seconds"]
    assert record.curve[0].seconds < checkpoint["seconds"] < record.seconds


# Training that ends once the online error is low enough


def stopping(target: float | None) -> Recipe:
    return Recipe(epochs=6, batch_size=16, lr=0.01, stop_at=target)


def points(record: Record) -> list[CurvePoint]:
    return [replace(point, seconds=0.0) for point in record.curve]


def test_training_ends_after_two_epochs_in_a_row_at_the_target(tiny_job, train_here):
    whole = loaded(train_here(tiny_job(recipe=stopping(None))))
    errors = [point.train.top1 for point in whole.curve]
    ends = {}
    for target in sorted({error for error in errors if 0 < error < 1}):
        met = [max(pair) <= target for pair in pairwise(errors)]
        ends.setdefault(met.index(True) + 2 if True in met else 6, target)
    assert len(ends) > 1
    for last, target in ends.items():
        record = loaded(train_here(tiny_job(recipe=stopping(target))))
        assert (record.epochs, record.steps, record.samples) == (last, 3 * last, 48 * last)
        assert points(record) == points(whole)[:last]
        assert record.status == "finished"
        assert record.test["ten_view"].count == 23


# Divergence


def test_a_diverged_run_is_recorded_as_such(tiny_job, train_here):
    folder = train_here(tiny_job(recipe=Recipe(epochs=3, batch_size=16, lr=1e6)))
    record = loaded(folder)
    assert (record.status, record.test, record.train) == ("diverged", {}, None)
    assert (record.val, record.predicted, record.colors, record.neighbors) == (None, {}, [], None)
    assert record.epochs < 3
    assert not (folder / PREDICTIONS).exists()


def test_a_network_that_breaks_in_the_last_step_of_an_epoch_has_diverged(
    tiny_job, train_here, monkeypatch
):
    # The online loss is finite, but the validation loss is NaN, which JSON cannot represent.
    def spoil(self):
        self.val_errors.reset()
        for parameter in self.network.parameters():
            parameter.data.fill_(float("nan"))

    monkeypatch.setattr(Classifier, "on_validation_epoch_start", spoil)
    record = loaded(train_here(tiny_job()))
    assert (record.status, record.epochs) == ("diverged", 0)
