"""Training as in the Lightning-Hydra template, a peer of the suite.

The template is Lightning, a data loader with workers, PIL images, and torchvision's transforms.
``python -m benchmarks.template STORE SEED`` trains for an epoch and tests with ten views.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms as T

from ablations import models
from ablations.data.store import Store
from benchmarks.loops import Clock, configure

MODEL = ("cifar_conv", 32, 28, 128)


class Photographs(Dataset):
    """Data set of PIL images with torchvision's transforms; with ``test``, ten crops per image."""

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, crop: int, *, test: bool = False
    ) -> None:
        self.images, self.labels = images, labels
        tensor = T.Compose([T.ToTensor(), T.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))])
        if test:
            ten = T.Lambda(lambda crops: torch.stack([tensor(crop) for crop in crops]))
            self.transform = T.Compose([T.TenCrop(crop), ten])
        else:
            drawn = [T.RandomCrop(crop), T.RandomHorizontalFlip(), T.ColorJitter(0.1, 0.1, 0.1)]
            self.transform = T.Compose([*drawn, tensor])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class TemplateModule(pl.LightningModule):
    """The template's module, which logs loss and accuracy in each step."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.accuracy, self.loss = MulticlassAccuracy(10, average="micro"), MeanMetric()
        self.test_accuracy = MulticlassAccuracy(10, average="micro")

    def training_step(self, batch, batch_idx):
        x, y = batch
        logits = self.network(x)
        loss = F.cross_entropy(logits, y)
        self.loss(loss)
        self.accuracy(logits.argmax(1), y)
        self.log("train/loss", self.loss, on_step=False, on_epoch=True)
        self.log("train/acc", self.accuracy, on_step=False, on_epoch=True)
        return loss

    def test_step(self, batch, batch_idx):
        views, y = batch
        probabilities = self.network(views.flatten(0, 1)).softmax(1).view(*views.shape[:2], -1)
        self.test_accuracy(probabilities.mean(1).argmax(1), y)
        self.log("test/acc", self.test_accuracy)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01, momentum=0.9)


def train(data: Store, *, test: bool = False) -> float:
    """Train for an epoch; return the mean seconds of a step, which include waiting for workers.

    Args:
        data: Prepared data.
        test: Also test with ten views.
    """
    config = configure(*MODEL)
    clock, crop = Clock(), config.data.crop
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = TemplateModule(models.build(config.run, len(data.classes)))
    loader = partial(DataLoader, num_workers=2)
    photographs = Photographs(data.train_images[:], data.train_labels, crop)
    batch = config.recipe.batch_size
    trainer.fit(module, loader(photographs, batch_size=batch, shuffle=True, drop_last=True))
    if test:
        views = Photographs(data.test_images[:], data.test_labels, crop, test=True)
        trainer.test(module, loader(views, batch_size=batch // 10))
    return clock.seconds


if __name__ == "__main__":
    pl.seed_everything(int(sys.argv[2]), verbose=False)
    train(Store(Path(sys.argv[1])), test=True)
