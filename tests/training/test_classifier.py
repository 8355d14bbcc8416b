from dataclasses import fields, replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ablations import models
from ablations.config import ConfigError, Job, Recipe
from ablations.data.store import Store
from ablations.record import CHECKPOINT, Record
from ablations.techniques import Edition, Techniques
from ablations.training.classifier import Classifier


def make(job: Job) -> Classifier:
    store = Store(Path(job.store))
    return Classifier.of_store(job.run, store, images=49)


def test_a_network_of_raw_pixels_has_no_mean(tiny_job, monkeypatch):
    job = tiny_job()
    raw = replace(models.MODELS[job.run.model], raw_pixels=True)
    monkeypatch.setitem(models.MODELS, job.run.model, raw)
    assert not make(job).mean.any()


class Operations(TorchDispatchMode):
    """Records the name of every operation that torch executes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name())
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("edition", Edition)
def test_no_step_waits_for_the_device(edition: Edition, tiny_job, train_here, monkeypatch):
    # On a GPU, reading a value back or copying one from the host waits for all queued work.
    seen = Operations()
    step = Classifier.training_step

    def watched(self, batch, batch_idx):
        with seen:
            return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", watched)
    train_here(tiny_job(edition=edition))
    assert {"aten::convolution", "aten::add_.Tensor"} <= seen.names  # errors are counted, too
    assert not seen.names & {"aten::lift_fresh", "aten::_local_scalar_dense", "aten::nonzero"}


# Use as in Lightning's documentation


def test_a_checkpoint_alone_is_enough(finished: Path, record: Record):
    module = Classifier.load_from_checkpoint(finished / CHECKPOINT).eval()
    assert torch.load(finished / CHECKPOINT, weights_only=True)["hyper_parameters"]["classes"] == 10
    store = Store(Path(Job.load(finished).store))
    images, labels = torch.tensor(store.test_images[:]), torch.tensor(store.test_labels)
    with torch.no_grad():
        for layout in (images, images.permute(0, 3, 1, 2)):
            wrong = module(layout).argmax(1) != labels
            assert wrong.double().mean().item() == pytest.approx(record.test["center"].top1)


class Pairs(torch.utils.data.Dataset):
    """A data set of pixels and labels."""

    def __init__(self, *shape: int) -> None:
        random = torch.Generator().manual_seed(0)
        self.images = torch.randint(256, (32, *shape), dtype=torch.uint8, generator=random)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], index % 10


def loader(*shape: int, batch_size: int = 16) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(Pairs(*shape), batch_size=batch_size)


def stock_trainer(**options) -> pl.Trainer:
    options = {"max_epochs": 1, "logger": False, "enable_checkpointing": False} | options
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(accelerator="cpu", **quiet, **options)


lightning_warns = pytest.mark.filterwarnings(
    "ignore:.*does not have many workers",
    "ignore:.*log_every_n_steps",
    "ignore:The `srun` command is available",
    "ignore:.*but have no logger configured",
    "ignore:.*but have no `val_dataloader`",
)


@lightning_warns
@pytest.mark.parametrize("shape", [(16, 16, 3), (3, 16, 16)], ids=["NHWC", "NCHW"])
def test_a_stock_trainer_takes_any_loader_of_images_and_labels(shape, tiny_job):
    weights = []
    for _ in range(2):
        module = Classifier(tiny_job().run.to_dict(), classes=10, images=32)
        module.axes.copy_(torch.eye(3))
        before = module.network.conv1.weight.clone()
        trainer = stock_trainer()
        trainer.fit(module, loader(*shape), loader(*shape))
        assert not torch.equal(module.network.conv1.weight, before)
        weights.append(module.network.conv1.weight)
        shown = trainer.callback_metrics["val/top1_error"].item()
        (validated,) = trainer.validate(module, loader(*shape), verbose=False)
        (tested,) = trainer.test(module, loader(*shape), verbose=False)
        assert validated["val/top1_error"] == tested["test/center/top1_error"] == shown
        predicted = trainer.predict(module, loader(*shape))
        wrong = torch.cat(predicted).argmax(1) != torch.arange(32) % 10
        assert wrong.double().mean().item() == pytest.approx(shown)
    assert torch.equal(*weights)  # draws depend on seed and position


@lightning_warns
def test_missing_axes_and_another_number_of_batches_give_warnings(tiny_job):
    module = Classifier(tiny_job().run, classes=10, images=32)
    with (
        pytest.warns(UserWarning, match=r"`axes` is zero.*of_store"),
        pytest.warns(UserWarning, match=r"images=32: .* 2 batches of 16 .* has 4$"),
    ):
        stock_trainer().fit(module, loader(16, 16, 3, batch_size=8))


@lightning_warns
def test_images_of_another_size_are_refused(tiny_job):
    module = Classifier(tiny_job().run, classes=10, images=32)
    module.axes.copy_(torch.eye(3))
    with pytest.raises(ConfigError, match=r"data\.size=16: .* 20 pixels; .* data\.size=20"):
        stock_trainer().fit(module, loader(20, 20, 3))


@lightning_warns
def test_a_diverged_epoch_is_shown_to_callbacks(tiny_job):
    module = Classifier(tiny_job(recipe=Recipe(epochs=1, batch_size=16, lr=1e9)).run, 10, 32)
    module.axes.copy_(torch.eye(3))
    trainer = stock_trainer(max_epochs=2)
    trainer.fit(module, loader(16, 16, 3))
    assert trainer.callback_metrics["train/loss"].isnan()


OUTSIDE_VARIANTS = [
    pytest.param(field.name, variant, id=f"{field.name}-{variant.value}")
    for field in fields(Techniques)
    if field.name in models.OUTSIDE - {"evaluation"}  # all runs have both errors
    for variant in list(type(field.default))[1:]
]


@lightning_warns
@pytest.mark.parametrize(("key", "variant"), OUTSIDE_VARIANTS)
def test_a_technique_outside_of_the_network_changes_its_training(key: str, variant, tiny_job):
    weights = []
    for techniques in ({}, {key: variant}):
        module = Classifier(tiny_job(**techniques).run, classes=10, images=32)
        module.axes.copy_(torch.eye(3))
        stock_trainer().fit(module, loader(16, 16, 3))
        weights.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
    assert not torch.equal(*weights), f"{key}={variant.value} is not used in the training step"
