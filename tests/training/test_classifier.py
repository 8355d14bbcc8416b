from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ablations import models
from ablations.config import ConfigError, Job
from ablations.data.store import Store
from ablations.record import CHECKPOINT, Record
from ablations.techniques import Edition, Pooling
from ablations.training.classifier import Classifier


def make(job: Job) -> Classifier:
    store = Store.open(Path(job.store))
    return Classifier.of_store(job.run, store, images=49)


def test_arms_of_a_seed_share_a_stream_and_seeds_and_replicates_have_their_own(tiny_job):
    changes = [{}, {"pooling": Pooling.nonoverlap}, {"seed": 1}, {"replicate": 1}]
    one, arm, seed, replicate = (make(tiny_job(**change)).stream for change in changes)
    assert one == arm
    assert len({one, seed, replicate}) == 3


def test_the_mean_is_that_of_the_central_crop(tiny_job):
    job = tiny_job()
    whole = torch.tensor(Store.open(Path(job.store)).mean_image)
    assert make(job).mean.squeeze().numel() == 12 * 12 * 3
    assert torch.equal(make(job).mean.reshape(12, 12, 3), whole[2:14, 2:14])


def test_a_network_of_raw_pixels_has_no_mean(tiny_job, monkeypatch):
    job = tiny_job()
    raw = replace(models.MODELS[job.run.model], raw_pixels=True)
    monkeypatch.setitem(models.MODELS, job.run.model, raw)
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
    train_here(tiny_job(edition=edition))
    assert {"aten::convolution", "aten::add_.Tensor"} <= seen.names  # errors are counted, too
    assert not seen.names & {"aten::lift_fresh", "aten::_local_scalar_dense", "aten::nonzero"}


# As Lightning's own documentation shows


def test_a_checkpoint_alone_is_enough(finished: Path, record: Record):
    module = Classifier.load_from_checkpoint(finished / CHECKPOINT).eval()
    assert torch.load(finished / CHECKPOINT, weights_only=True)["hyper_parameters"]["classes"] == 10
    store = Store.open(Path(Job.load(finished).store))
    images, labels = torch.tensor(store.test_images), torch.tensor(store.test_labels)
    with torch.no_grad():
        for layout in (images, images.permute(0, 3, 1, 2)):
            wrong = module(layout).argmax(1) != labels
            assert wrong.double().mean().item() == pytest.approx(record.test["center"].top1)


class Pairs(torch.utils.data.Dataset):
    """Pixels and labels one by one, as any data set has them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        random = torch.Generator().manual_seed(0)
        self.images = torch.randint(256, (20, *shape), dtype=torch.uint8, generator=random)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], index % 10


def stock_trainer() -> pl.Trainer:
    return pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


LIGHTNING_WARNS = (
    "ignore:.*does not have many workers",
    "ignore:.*log_every_n_steps",
    "ignore:The `srun` command is available",
)


@pytest.mark.filterwarnings(*LIGHTNING_WARNS)
@pytest.mark.parametrize("shape", [(16, 16, 3), (3, 16, 16)], ids=["NHWC", "NCHW"])
def test_a_stock_trainer_takes_any_loader_of_images_and_labels(shape, tiny_job):
    weights = []
    for _ in range(2):
        module = Classifier(tiny_job().run.to_dict(), classes=10, images=20)
        before = module.network.conv1.weight.clone()
        loader = torch.utils.data.DataLoader(Pairs(shape), batch_size=8)
        trainer = stock_trainer()
        trainer.fit(module, loader, loader)
        assert not torch.equal(module.network.conv1.weight, before)
        weights.append(module.network.conv1.weight)
        shown = trainer.callback_metrics["val/top1_error"].item()
        assert 0 <= shown <= 1
        trainer.test(module, loader, verbose=False)
        assert trainer.callback_metrics["test/center/top1_error"].item() == pytest.approx(shown)
    assert torch.equal(*weights)  # draws depend on seed and place


@pytest.mark.filterwarnings(*LIGHTNING_WARNS)
def test_a_loader_of_floats_is_refused(tiny_job):
    class Floats(Pairs):
        def __getitem__(self, index: int):
            image, label = super().__getitem__(index)
            return image / 255, label

    module = Classifier(tiny_job().run.to_dict(), classes=10, images=20)
    loader = torch.utils.data.DataLoader(Floats((3, 16, 16)), batch_size=8)
    with pytest.raises(ConfigError, match=r"torch\.float32; give pixels as uint8"):
        stock_trainer().fit(module, loader, loader)
