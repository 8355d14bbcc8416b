"""Benchmarks of training steps, compared with bare loops and other frameworks, and of their parts.

Peers train the same network on the same images, except torchvision's reference. The bare loops are
in :mod:`benchmarks.loops`. *Template* is the Lightning-Hydra template: Lightning, a data loader
with workers, PIL images, and torchvision's transforms.
"""

import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.autograd import grad as gradient

from ablations import models
from ablations.config import Config, Model
from ablations.data.store import Store
from ablations.techniques.augmentation import to_input
from ablations.techniques.evaluation import center_crop, ten_views
from ablations.techniques.norm import response_normalization
from ablations.training.optimizer import build_optimizer
from benchmarks.bf16 import bf16
from benchmarks.loops import IMAGES, augmenter, bare, configure, store, suite, suite_step
from benchmarks.measure import Row, alternate, missing


class Photographs(torch.utils.data.Dataset):
    """Data set of PIL images with torchvision's transforms; with ``test``, ten crops per image."""

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, crop: int, *, test: bool = False
    ) -> None:
        from torchvision import transforms as T

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
        from torchmetrics import MeanMetric
        from torchmetrics.classification import MulticlassAccuracy

        super().__init__()
        self.network = network
        self.accuracy, self.loss = MulticlassAccuracy(10, average="micro"), MeanMetric()
        self.test_accuracy = MulticlassAccuracy(10, average="micro")
        self.times: list[float] = []

    def training_step(self, batch, batch_idx):
        self.times.append(time.perf_counter())
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


def template(config: Config, data: Store, steps: int, workers: int = 2) -> Callable[[], float]:
    """Return a function that trains with the template and returns mean seconds per step."""

    def run() -> float:
        network = models.build(config.run, len(data.classes))
        crop, batch = config.data.crop, config.recipe.batch_size
        photographs = Photographs(data.train_images[:], data.train_labels, crop)
        loader = torch.utils.data.DataLoader(
            photographs, batch, shuffle=True, drop_last=True, num_workers=workers
        )
        module = TemplateModule(network)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(
                accelerator="cpu",
                max_steps=steps + 3,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(module, loader)
        # The mean, because the median would not include waiting for the workers.
        epoch = len(loader)
        gaps = np.diff(module.times[:epoch])[2:]
        return float(np.mean(gaps))

    return run


def beside_loops(name: str, config: Config, data: Store, steps: int) -> list[Row]:
    """Compare the suite with the bare loops, step by step."""
    peers = {peer: bare(config, data, tricks=peer == "bare") for peer in ("bare", "plain")}
    if config.run.model is Model.alexnet:
        peers["torchvision"] = reference(config, data)
    found = suite(config, data, steps, peers=peers)
    rows = [
        Row(name, "bare loop, same tricks", found["suite"], found["bare"]),
        Row(name, "bare loop, plain", found["suite"], found["plain"]),
    ]
    if theirs := found.get("torchvision"):
        note = "one tower, no LRN, no decoding"
        peer = "torchvision's reference"
        rows.append(Row(name, peer, found["suite"], theirs, note=note))
    return rows


def reference(config: Config, data: Store) -> Callable[[], None]:
    """Return a step of torchvision's reference training of AlexNet, with images in memory."""
    from torchvision.models import alexnet
    from torchvision.transforms import v2

    network = alexnet(num_classes=len(data.classes)).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    pixels = torch.from_numpy(data.train_images).permute(0, 3, 1, 2)
    labels = torch.from_numpy(data.train_labels).long()
    transform = v2.Compose(
        [
            v2.RandomCrop(config.run.data.crop),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    def step() -> None:
        rows = torch.randint(len(pixels), (config.run.recipe.batch_size,)).tolist()
        images = torch.stack([transform(pixels[row]) for row in rows])
        loss = criterion(network(images), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def beside_template(rounds: int, seconds: float) -> list[Row]:
    """Compare a CIFAR-10 network with full augmentation with the template."""
    config, data = configure("cifar_conv", 32, 28, 128), store(32, IMAGES)
    steps = {
        "suite": partial(suite_step, config, data, 20),
        "template": template(config, data, 20),
    }
    found = alternate(steps, rounds, seconds)
    name = "cifar_conv, full augmentation"
    return [Row(name, "Lightning-Hydra template", found["suite"], found["template"])]


def lrn(rounds: int, seconds: float) -> list[Row]:
    """Compare the forward and backward pass of response normalization with other layers."""
    x = torch.randn(128, 32, 16, 16).to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(128, 32, 16, 16).to(memory_format=torch.channels_last)
    flat, flat_grad = x.detach().contiguous().requires_grad_(), grad.contiguous()
    theirs, batch_norm = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), nn.BatchNorm2d(32)
    # Not `backward`, which would accumulate gradients.
    scale = list(batch_norm.parameters())
    steps = {
        "ours": lambda: gradient(response_normalization(x), [x], grad),
        "torch": lambda: gradient(theirs(flat), [flat], flat_grad),
        "contiguous": lambda: gradient(batch_norm(flat), [flat, *scale], flat_grad),
        "last": lambda: gradient(batch_norm(x), [x, *scale], grad),
    }
    found = alternate(steps, 5 * rounds, seconds)
    name, ours = "LRN, 128x32x16x16", found["ours"]
    return [
        Row(name, "torch's LRN", ours, found["torch"]),
        Row(name, "BatchNorm, contiguous", ours, found["contiguous"], less=True),
        Row(name, "BatchNorm, channels last", ours, found["last"], less=True),
    ]


def parts(rounds: int, seconds: float) -> list[Row]:
    """Compare augmentation with a training step, and ten views with one view."""
    config, data = configure("cifar_conv", 32, 28, 128), store(32, IMAGES)
    inputs = augmenter(config, data, IMAGES)
    pixels, positions = torch.from_numpy(data.train_images[:128]), torch.arange(128)
    network = models.build(config.run, 10).to(memory_format=torch.channels_last).eval()
    mean = torch.zeros(28, 28, 3)

    def views(count: int) -> None:
        # As in the data module, a batch with ten views per image has fewer images.
        for images in pixels[:120].split(120 // count):
            crops = ten_views(images, 28) if count == 10 else center_crop(images, 28)[:, None]
            with torch.inference_mode():
                network(to_input(crops.flatten(0, 1), mean))

    steps = {
        "augmentation": lambda: inputs(pixels, positions),
        "step": bare(config, data, tricks=True),
        "ten": lambda: views(10),
        "one": lambda: views(1),
    }
    found = alternate(steps, 3 * rounds, seconds)
    share = found["augmentation"], found["step"]
    return [
        Row("augmentation of a cifar_conv batch", "the whole step", *share, less=True),
        Row("ten views, cifar_conv", "one view", found["ten"], found["one"], less=True),
    ]


def keras(rounds: int, seconds: float) -> list[Row]:
    """Compare a training step of the first tutorial's network with Keras."""
    name, peer, batch = "keras_batchnorm-227, batch 16", "Keras (TensorFlow)", 16
    try:
        import tensorflow as tf
        from keras import Sequential, losses, optimizers

        from benchmarks.keras_forward import keras_batchnorm
    except ImportError:
        return [missing(name, peer)]
    tf.config.threading.set_intra_op_parallelism_threads(torch.get_num_threads())
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = Sequential(keras_batchnorm())
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.SGD(0.001, momentum=0.9), loss)
    config = configure("keras_batchnorm", 227, 227, batch, "init=paper")
    network = models.build(config.run, 1000).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(network, config.run.recipe, 1.0)
    pixels = np.random.default_rng(0).normal(size=(batch, 227, 227, 3)).astype(np.float32)
    labels = np.arange(batch)
    images, classes = tf.constant(pixels), tf.constant(labels)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def ours() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x), torch.from_numpy(labels)).backward()
        optimizer.step()

    # `and None`, because `alternate` takes a returned float for the time.
    steps = {"ours": ours, "keras": lambda: model.train_on_batch(images, classes) and None}
    found = alternate(steps, rounds, seconds)
    return [Row(name, peer, found["ours"], found["keras"], note="no dropout in Keras")]


def workloads(quick: bool) -> dict[str, Callable[[], list[Row]]]:
    """Return all workloads of this module, by name."""
    rounds, seconds = (3, 12.0) if quick else (7, 60.0)

    def loops(name: str, network: str, sizes: tuple[int, int, int], *more: str):
        size, crop, batch = sizes
        large = size > 100
        images = 4 * batch if large else IMAGES
        steps = (4 if large else 40) if quick else (12 if large else 200)

        def measure() -> list[Row]:
            config = configure(network, size, crop, batch, *more)
            return beside_loops(name, config, store(size, images), steps)

        return name, measure

    none = "augmentation=none"
    nets = [
        loops("cifar_conv", "cifar_conv", (32, 28, 128)),
        loops("cifar_conv, no augmentation", "cifar_conv", (32, 28, 128), none),
        loops("cifar_local", "cifar_local", (32, 24, 128)),
        loops("alexnet_small-32", "alexnet_small", (32, 28, 128), "width=0.25"),
        loops("alexnet_small-64", "alexnet_small", (64, 56, 128), "width=0.25"),
        loops("alexnet-227", "alexnet", (256, 227, 16)),
        loops("alexnet-224", "alexnet", (256, 224, 16)),
    ]
    return {
        "lrn": partial(lrn, rounds, seconds),
        "parts": partial(parts, rounds, seconds),
        "template": partial(beside_template, rounds, seconds),
        **dict(nets),
        "keras": partial(keras, rounds, seconds),
        "bf16": partial(bf16, rounds, seconds),
    }
