"""Training steps through the suite, beside bare loops and what users have; and parts of a step.

Every peer trains the same network on the same images. *Bare* is a torch loop that holds the images
in memory, draws the same crops and flips, takes the same kernels and optimizer, and does nothing
else: no Lightning, no errors, no validation, no checkpoints. *Plain* is the same loop without the
tricks: contiguous memory, torch's LRN, torch's SGD as it comes. *Template* is Lightning with loader
workers and one PIL image after another through torchvision's transforms, as the popular
Lightning-Hydra template does it.
"""

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from PIL import Image
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from ablations import networks
from ablations.callbacks import Progress, Saver
from ablations.classifier import Classifier
from ablations.config import Config
from ablations.data.loading import EpochBatches, PixelBatches
from ablations.data.store import Store, prepare
from ablations.data.synthetic import CLASSES
from ablations.data.synthetic import draw as paint
from ablations.datamodule import Images
from ablations.door import compose
from ablations.loop import EpochLoop
from ablations.optimizer import build_optimizer
from ablations.streams import derive, generator
from ablations.techniques.augmentation import (
    color_axes,
    color_noise,
    colors,
    crop_and_flip,
    draw,
    to_input,
)
from ablations.techniques.dropout import PaperDropout
from ablations.techniques.edition import details
from ablations.techniques.evaluation import center_crop, ten_views
from ablations.techniques.norm import ResponseNorm, response_normalization
from benchmarks.measure import Row, alternate, missing, pair

IMAGES = 1280  # training images of a workload; the large ones take fewer


@cache
def store(size: int, images: int) -> Store:
    """A few built-in images as a folder of photographs, prepared like any other."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    random = np.random.Generator(np.random.PCG64(0))
    for split, count in (("train", images + 10), ("val", 20)):
        labels = np.arange(count) % len(CLASSES)
        for number, picture in enumerate(paint(labels, size, random)):
            path = folder / split / f"{labels[number]}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    overrides = [f"dataset.root={folder}", "dataset.source=image_folder", "dataset.val_size=10"]
    config = compose([*overrides, f"dataset.size={size}", f"dataset.crop={size}", "logger=none"])
    return prepare(config.dataset, folder / "cache")


def configure(network: str, size: int, crop: int, batch: int, *more: str) -> Config:
    """A run of the named network at its printed width."""
    sizes = [f"dataset.size={size}", f"dataset.crop={crop}", "dataset.val_size=10"]
    recipe = [f"recipe.batch_size={batch}", "recipe.epochs=1000", "init=fan_in"]
    return compose([f"network={network}", *sizes, *recipe, "logger=none", *more])


def suite(
    config: Config, data: Store, steps: int, rank: int = 0, world: int = 1
) -> Callable[[], float]:
    """Steps through the suite's own module, loader and callbacks; median seconds of a step."""

    class Clock(pl.Callback):
        def __init__(self) -> None:
            self.times: list[float] = []

        def on_train_batch_start(self, *args: object) -> None:
            self.times.append(time.perf_counter())

    def run() -> float:
        network = networks.build(config.run, len(data.classes))
        images = Images(config.run, data, rank, world)
        module = Classifier(
            config.run,
            network.to(memory_format=torch.channels_last),
            data,
            len(images.train_images),
        )
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(
                accelerator="cpu",
                devices=world,
                plugins=TorchElasticEnvironment() if world > 1 else None,
                strategy=DDPStrategy(gradient_as_bucket_view=True) if world > 1 else "auto",
                max_steps=steps + 3,
                limit_val_batches=0,
                logger=False,
                callbacks=[Saver(Path(folder), 10**9), Progress(Path(folder)), clock],
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                num_sanity_val_steps=0,
            )
            # The checkpoint after an epoch is not part of a step.
            trainer.callbacks[0].on_train_epoch_end = lambda *args: None  # type: ignore
            module.on_train_epoch_end = lambda: (module._count(), module.running.reset())  # type: ignore
            trainer.fit_loop.epoch_loop = EpochLoop(trainer, max_steps=steps + 3)
            trainer.fit(module, images)
        return statistics.median(np.diff(clock.times[2:]).tolist())

    return run


def bare(config: Config, data: Store, steps: int, *, tricks: bool) -> Callable[[], float]:
    """Steps of a bare loop; median seconds of a step."""
    run = config.run
    rows, _ = data.split(run.dataset.train_limit, run.dataset.val_size)
    network = networks.build(run, len(data.classes)).train()
    edition = details(run.techniques.edition)
    if tricks:
        network = network.to(memory_format=torch.channels_last)
        optimizer: torch.optim.Optimizer = build_optimizer(network, run.recipe, edition.bias_rate)
    else:
        for name, layer in list(network.named_children()):
            if isinstance(layer, ResponseNorm):
                c = layer.constants
                plain = nn.LocalResponseNorm(c["size"], c["alpha"] * c["size"], c["beta"], c["k"])
                setattr(network, name, plain)
        optimizer = torch.optim.SGD(network.parameters(), run.recipe.lr, momentum=0.9)
    images = PixelBatches(data.train_images, data.train_labels, rows)
    images.to(torch.device("cpu"))
    batches = EpochBatches(len(rows), run.recipe.batch_size, derive(run.seed, "bare"))
    inputs = augmenter(config, data, len(rows))
    shares = endless(batches)
    dropouts = [layer for layer in network.modules() if isinstance(layer, PaperDropout)]

    def step() -> None:
        share = next(shares)
        batch = images.__getitems__(share)
        x = inputs(batch.images, batch.positions)
        if not tricks:
            x = x.contiguous()
        for index, layer in enumerate(dropouts if tricks else []):
            layer.draw(index, share.rows)
        loss = F.cross_entropy(network(x), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def loop() -> float:
        times = []
        for _ in range(steps + 2):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return statistics.median(times[2:])

    return loop


def endless(batches: EpochBatches):
    """Shares of one epoch after another."""
    while True:
        yield from batches


def augmenter(config: Config, data: Store, images: int) -> Callable:
    """Crops, flips and colour of a batch, as the classifier does them."""
    run = config.run
    edition = details(run.techniques.edition)
    mean = center_crop(torch.tensor(data.mean_image)[None], run.dataset.crop)[0]
    covariance = (data.color_basis * data.color_std**2) @ data.color_basis.T
    axes = color_axes(torch.tensor(covariance), power=edition.color_power)
    draws = draw(
        images,
        generator(0, "augmentation"),
        size=run.dataset.size,
        crop=run.dataset.crop,
        augmentation=run.techniques.augmentation,
    )

    def inputs(pixels: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        d = draws[positions]
        x = to_input(crop_and_flip(pixels, d.top, d.left, d.flip, run.dataset.crop), mean)
        if colors(run.techniques.augmentation):
            x = color_noise(x, d.color, axes, divisor=edition.color_divisor)
        return x

    return inputs


class Photographs(torch.utils.data.Dataset):
    """One PIL image at a time through torchvision's transforms."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, crop: int) -> None:
        from torchvision import transforms as T

        self.images, self.labels = images, labels
        self.transform = T.Compose(
            [
                T.RandomCrop(crop),
                T.RandomHorizontalFlip(),
                T.ColorJitter(0.1, 0.1, 0.1),
                T.ToTensor(),
                T.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int):
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class TemplateModule(pl.LightningModule):
    """The template's module: loss and accuracy logged in every step."""

    def __init__(self, network: nn.Module) -> None:
        from torchmetrics import MeanMetric
        from torchmetrics.classification import MulticlassAccuracy

        super().__init__()
        self.network = network
        self.accuracy, self.loss = MulticlassAccuracy(10, average="micro"), MeanMetric()
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
        self.log("test/loss", F.cross_entropy(self.network(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01, momentum=0.9)


def template(config: Config, data: Store, steps: int, workers: int = 2) -> Callable[[], float]:
    """Steps as the template takes them; mean seconds of a step, loading included."""

    def run() -> float:
        network = networks.build(config.run, len(data.classes))
        crop, batch = config.dataset.crop, config.recipe.batch_size
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
        # The mean: workers that have loaded ahead make the median step look too cheap.
        epoch = len(loader)
        gaps = np.diff(module.times[:epoch])[2:]
        return float(np.mean(gaps))

    return run


def beside_loops(
    name: str, config: Config, data: Store, steps: int, rounds: int, seconds: float, goal: float
) -> list[Row]:
    """The suite beside the bare loop with and without the tricks."""
    found = alternate(
        {
            "suite": suite(config, data, steps),
            "bare": bare(config, data, steps, tricks=True),
            "plain": bare(config, data, steps, tricks=False),
        },
        rounds,
        seconds,
    )
    return [
        pair(name, "bare loop, same tricks", found["suite"], found["bare"], goal),
        pair(name, "bare loop, plain", found["suite"], found["plain"]),
    ]


def beside_template(rounds: int, seconds: float) -> list[Row]:
    """A CIFAR network with full augmentation beside the template."""
    config, data = configure("cifar_conv", 32, 28, 128), store(32, IMAGES)
    steps = {"suite": suite(config, data, 20), "template": template(config, data, 20)}
    found = alternate(steps, rounds, seconds)
    name = "cifar_conv, full augmentation"
    return [pair(name, "Lightning-Hydra template", found["suite"], found["template"], 3.0)]


def lrn(rounds: int, seconds: float) -> list[Row]:
    """Response normalisation alone, forward and backward."""
    x = torch.randn(128, 32, 16, 16).to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(128, 32, 16, 16).to(memory_format=torch.channels_last)
    flat, flat_grad = x.detach().contiguous().requires_grad_(), grad.contiguous()
    theirs, batch_norm = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), nn.BatchNorm2d(32)
    steps = {
        "ours": lambda: response_normalization(x).backward(grad),
        "torch": lambda: theirs(flat).backward(flat_grad),
        "contiguous": lambda: batch_norm(flat).backward(flat_grad),
        "last": lambda: batch_norm(x).backward(grad),
    }
    found = alternate(steps, 5 * rounds, seconds)
    name, ours = "LRN, 128x32x16x16", found["ours"]
    return [
        pair(name, "torch's LRN", ours, found["torch"], 5.0),
        pair(name, "BatchNorm, contiguous", ours, found["contiguous"], 2.5, less=True),
        pair(name, "BatchNorm, channels last", ours, found["last"], less=True),
    ]


def parts(rounds: int, seconds: float) -> list[Row]:
    """Augmentation as a share of a step, and ten views beside one."""
    config, data = configure("cifar_conv", 32, 28, 128), store(32, IMAGES)
    inputs = augmenter(config, data, IMAGES)
    pixels, positions = torch.from_numpy(data.train_images[:128]), torch.arange(128)
    network = networks.build(config.run, 10).to(memory_format=torch.channels_last).eval()
    mean = torch.zeros(28, 28, 3)

    def views(count: int) -> None:
        images = ten_views(pixels, 28) if count == 10 else center_crop(pixels, 28)[:, None]
        with torch.inference_mode():
            network(to_input(images.flatten(0, 1), mean))

    steps = {
        "augmentation": lambda: inputs(pixels, positions),
        "step": bare(config, data, 1, tricks=True),
        "ten": lambda: views(10),
        "one": lambda: views(1),
    }
    found = alternate(steps, 3 * rounds, seconds)
    share = found["augmentation"], found["step"]
    return [
        pair("augmentation of a cifar_conv batch", "the whole step", *share, 0.05, less=True),
        pair("ten views, cifar_conv", "one view", found["ten"], found["one"], 11.0, less=True),
    ]


def keras(rounds: int, seconds: float) -> list[Row]:
    """The first tutorial's network, a step here and in Keras."""
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
    config = configure("keras_batchnorm", 227, 227, batch)
    network = networks.build(config.run, 1000).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(network, config.run.recipe, 1.0)
    pixels = np.random.default_rng(0).normal(size=(batch, 227, 227, 3)).astype(np.float32)
    labels = np.arange(batch)
    images, classes = tf.constant(pixels), tf.constant(labels)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def ours() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x), torch.from_numpy(labels)).backward()
        optimizer.step()

    steps = {"ours": ours, "keras": lambda: model.train_on_batch(images, classes) and None}
    found = alternate(steps, rounds, seconds)
    return [pair(name, peer, found["ours"], found["keras"], 1.2, note="no dropout in Keras")]


def workloads(quick: bool) -> dict[str, Callable[[], list[Row]]]:
    """Every workload of this module, by name."""
    rounds, seconds = (3, 12.0) if quick else (7, 60.0)

    def loops(name: str, goal: float, network: str, size: int, crop: int, batch: int, *more: str):
        images, steps = (4 * batch, 3) if size > 100 else (IMAGES, 16)

        def measure() -> list[Row]:
            config = configure(network, size, crop, batch, *more)
            return beside_loops(name, config, store(size, images), steps, rounds, seconds, goal)

        return name, measure

    none = "augmentation=none"
    nets = [
        loops("cifar_conv", 0.97, "cifar_conv", 32, 28, 128),
        loops("cifar_conv, no augmentation", 0.97, "cifar_conv", 32, 28, 128, none),
        loops("cifar_local", 0.97, "cifar_local", 32, 24, 128),
        loops("alexnet_small-32", 0.97, "alexnet_small", 32, 28, 128, "width=0.25"),
        loops("alexnet_small-64", 0.97, "alexnet_small", 64, 56, 128, "width=0.25"),
        loops("alexnet-227", 0.98, "alexnet", 256, 227, 16, "width=1"),
        loops("alexnet-224", 0.98, "alexnet", 256, 224, 16, "width=1"),
    ]
    return {
        "lrn": partial(lrn, rounds, seconds),
        "parts": partial(parts, rounds, seconds),
        "template": partial(beside_template, rounds, seconds),
        **dict(nets),
        "keras": partial(keras, rounds, seconds),
    }
