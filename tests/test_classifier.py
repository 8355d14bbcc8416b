import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ablations import classifier, networks
from ablations.classifier import Classifier, curve_metrics, score_metrics
from ablations.config import Init, Job
from ablations.data.store import Store
from ablations.metrics import ErrorRates
from ablations.record import CurvePoint, Scores, load
from ablations.techniques import Activation, Augmentation, Dropout, Edition, Pooling
from ablations.techniques.augmentation import draw


def make(job: Job) -> Classifier:
    store = Store.open(Path(job.store))
    return Classifier(job.run, networks.build(job.run, len(store.classes)), store, images=49)


def test_arms_of_a_seed_share_initial_weights_and_streams(tiny_job):
    job = tiny_job()
    for arm in ({"pooling": Pooling.nonoverlap}, {"dropout": Dropout.off}):
        one, other = make(job), make(tiny_job(**arm))
        assert one.stream == other.stream
        weights = zip(one.network.parameters(), other.network.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in weights)


def test_arms_share_crops_whether_or_not_colors_are_drawn(tiny_job):
    stream = make(tiny_job()).stream
    from ablations.streams import generator

    tables = [
        draw(49, generator(stream, "augmentation", 3), size=16, crop=12, augmentation=kind)
        for kind in (Augmentation.full, Augmentation.crop_flip)
    ]
    assert torch.equal(tables[0].top, tables[1].top)
    assert torch.equal(tables[0].left, tables[1].left)
    assert torch.equal(tables[0].flip, tables[1].flip)
    assert tables[0].top.unique().numel() == 5  # 16 - 12 + 1 places


def test_seed_and_replicate_change_the_weights_or_the_draws(tiny_job):
    first, seed, other = make(tiny_job()), make(tiny_job(seed=1)), make(tiny_job(replicate=1))
    assert len({first.stream, seed.stream, other.stream}) == 3
    assert not torch.equal(first.network.conv1.weight, seed.network.conv1.weight)


def test_an_exploded_loss_is_a_hundred_times_that_of_guessing(tiny_job):
    assert make(tiny_job()).exploded == pytest.approx(100 * math.log(10))


def test_the_mean_is_that_of_the_central_crop(tiny_job):
    job = tiny_job()
    whole = torch.tensor(Store.open(Path(job.store)).mean_image)
    assert make(job).mean.squeeze().numel() == 12 * 12 * 3
    assert torch.equal(make(job).mean.reshape(12, 12, 3), whole[2:14, 2:14])


def test_a_network_of_raw_pixels_has_no_mean(tiny_job, monkeypatch):
    job = tiny_job()
    monkeypatch.setattr(classifier, "RAW_PIXELS", {job.run.model})
    assert not make(job).mean.any()


class Operations(TorchDispatchMode):
    """Notes every operation that torch carries out."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("edition", Edition)
def test_no_step_waits_for_the_device(edition: Edition, tiny_job, train_here, monkeypatch):
    # On a GPU a value read back, or one copied from the host, waits for all that is queued.
    seen = Operations()
    step = Classifier.training_step

    def watched(self, batch, batch_idx):
        with seen:
            return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", watched)
    monkeypatch.setattr(Classifier, "_count", lambda self: self.uncounted.clear())
    with suppress(Exception):  # nothing was counted
        train_here(tiny_job(edition=edition))
    assert "aten::convolution" in seen.names
    assert not seen.names & {"aten::lift_fresh", "aten::_local_scalar_dense", "aten::nonzero"}


def test_counting_errors_waits_for_no_device(tiny_job, train_here, monkeypatch):
    seen = Operations()
    count = Classifier._count

    def watched(self):
        with seen:
            count(self)

    monkeypatch.setattr(Classifier, "_count", watched)
    train_here(tiny_job())
    assert "aten::add_.Tensor" in seen.names
    assert not seen.names & {"aten::lift_fresh", "aten::_local_scalar_dense", "aten::nonzero"}


def test_metrics_have_the_names_that_loggers_show():
    scores = Scores(top1=0.5, top5=0.1, loss=2.0, count=10)
    point = CurvePoint(epoch=2, samples=96, seconds=1.5, lr=0.01, train=scores, val=scores)
    assert curve_metrics(point) == {
        "epoch": 2,
        "samples": 96,
        "seconds": 1.5,
        "lr": 0.01,
        "train/top1_error": 0.5,
        "train/top5_error": 0.1,
        "train/loss": 2.0,
        "val/top1_error": 0.5,
        "val/top5_error": 0.1,
        "val/loss": 2.0,
    }
    assert "test/loss" not in score_metrics("test", replace(scores, loss=None))
    without = curve_metrics(replace(point, val=None))
    assert without.keys() == {name for name in curve_metrics(point) if not name.startswith("val/")}


def test_a_tanh_arm_is_the_same_network_but_for_its_activation(tiny_job):
    # Initial weights do not depend on what is drawn after them.
    one = make(tiny_job(init=Init.paper)).network.state_dict()
    other = make(tiny_job(init=Init.paper, activation=Activation.tanh)).network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one | other)


def test_errors_counted_together_are_those_of_each_step(tiny_job, train_here, monkeypatch):
    def curve():
        folder = train_here(tiny_job())
        found = load(folder)
        for path in folder.iterdir():
            path.unlink()
        assert found is not None
        return [point.train for point in found.curve]

    counted: list[int] = []
    update = ErrorRates.update
    monkeypatch.setattr(
        ErrorRates,
        "update",
        lambda self, scores, labels, losses: (
            counted.append(len(labels)),
            update(self, scores, labels, losses),
        )[1],
    )
    together = curve()
    assert counted.count(48) == 2  # the three steps of either epoch
    monkeypatch.setattr(classifier, "COUNTED", 1)
    assert curve() == together
