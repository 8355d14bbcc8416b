from pathlib import Path

import numpy as np
import pytest
import torch
from finished import predictions, trained_network

from ablations import models
from ablations.config import NUMERICS, Job
from ablations.data.store import Store
from ablations.metrics import true_class_rank
from ablations.record import Record
from ablations.techniques.towers import tower_colors
from ablations.training.classifier import Classifier

# Probabilities are stored with seven significant bits.
ROUNDED = {"rtol": 2**-7, "atol": 2**-14}


def test_the_record_tells_what_was_trained(record: Record, finished: Path):
    job = Job.load(finished)
    assert record.run_id == record.run.run_id == job.run.run_id == finished.name
    assert (record.numerics, record.differences) == (NUMERICS, job.run.differences)
    assert (record.status, record.evaluation) == ("finished", "ten_view")
    assert (record.experiment, record.arm, record.seed) == ("smoke", "baseline", 0)
    assert (record.epochs, record.steps, record.samples) == (2, 6, 96)
    data = record.data
    assert (data.name, data.classes, data.size, data.crop) == ("synthetic", 10, 16, 12)
    assert data.fingerprint == job.run.fingerprint
    assert (data.train_images, data.val_images, data.test_images) == (49, 11, 23)
    assert (data.val_size, data.train_limit, data.skipped) == (11, None, 0)
    network = models.build(job.run, 10)
    assert record.parameters == sum(p.numel() for p in network.parameters())
    hardware = record.hardware
    assert (hardware.accelerator, hardware.devices, hardware.threads) == ("cpu", 1, 1)
    assert hardware.device
    assert (record.train.count, record.val.count) == (49, 11)
    assert {view: s.count for view, s in record.test.items()} == {"center": 23, "ten_view": 23}
    assert record.evaluation_seconds > 0
    assert record.images_per_second == pytest.approx(96 / record.seconds)


def test_the_record_tells_where_its_numbers_come_from(record: Record):
    assert set(record.provenance["versions"]) >= {"python", "torch", "pytorch-lightning"}
    assert record.provenance["commit"]
    assert isinstance(record.provenance["dirty"], bool)


def test_the_record_tells_the_colors_of_the_towers(record: Record, finished: Path):
    kernels = trained_network(finished).get_parameter("conv1.weight").detach().numpy()
    assert record.colors == pytest.approx(tower_colors(kernels))
    assert len(set(record.colors)) == 2


def test_predictions_that_miss_an_image_are_refused(tiny_job, train_here, monkeypatch, runs_dir):
    monkeypatch.setattr(Classifier, "on_test_epoch_end", lambda self: self.seen.pop())
    with pytest.raises(RuntimeError, match="22 test predictions for 23 images"):
        train_here(tiny_job())
    assert not list(runs_dir.glob("*/record.json"))


def test_errors_and_predictions_by_hand(record: Record, finished: Path):
    store = Store(Path(Job.load(finished).store))
    network, mean = trained_network(finished), torch.tensor(store.mean_image)[2:14, 2:14]
    images, labels = torch.tensor(store.test_images[:]), torch.tensor(store.test_labels)
    views = []
    with torch.no_grad():
        for top, left in [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]:
            crop = images[:, top : top + 12, left : left + 12]
            for view in (crop, crop.flip(2)):
                views.append(network((view - mean).permute(0, 3, 1, 2)).softmax(1))
    expected = {"center": views[8], "ten_view": torch.stack(views).mean(0)}
    for name, probabilities in expected.items():
        saved = predictions(finished)[name]
        assert (saved.shape, saved.dtype) == ((23, 10), np.float16)
        np.testing.assert_allclose(saved, probabilities, **ROUNDED)
        rank = true_class_rank(probabilities, labels)
        assert record.test[name].top1 == pytest.approx((rank >= 1).double().mean().item())
        assert record.test[name].top5 == pytest.approx((rank >= 5).double().mean().item())
