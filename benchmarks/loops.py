"""Training loops whose steps are timed alternately: the suite's, and bare loops in torch.

*Bare* is a torch loop with images in memory, the same crops, flips, layers and optimizer, but
without Lightning, error computation, validation or checkpoints. *Plain* is the same loop with
contiguous memory format, torch's LRN and torch's SGD.
"""

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from PIL import Image
from pytorch_lightning.strategies import DDPStrategy
from torch import nn

from ablations import models
from ablations.composition import compose
from ablations.config import Config, Precision
from ablations.data.datamodule import Images
from ablations.data.loading import EpochBatches, PixelBatches
from ablations.data.store import Store, prepare
from ablations.data.synthetic import CLASSES
from ablations.data.synthetic import draw as paint
from ablations.metrics import WindowedLoss
from ablations.rng import derive, generator
from ablations.techniques.augmentation import (
    color_axes,
    color_noise,
    colors,
    crop_and_flip,
    draw,
    to_input,
)
from ablations.techniques.dropout import SeededDropout
from ablations.techniques.edition import details
from ablations.techniques.evaluation import center_crop
from ablations.techniques.norm import ResponseNorm
from ablations.training.classifier import Classifier
from ablations.training.fit import keep_freed_memory
from ablations.training.history import History
from ablations.training.optimizer import build_optimizer
from ablations.training.progress import Progress

IMAGES = 1280  # training images of a workload; fewer for large networks
DISTINCT = 128  # different pictures; a store repeats them, because they are slow to paint
WARM_UP = 3  # steps that are not counted


@cache
def store(size: int, images: int) -> Store:
    """Return a data store of built-in images, prepared from image files."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    random = np.random.Generator(np.random.PCG64(0))
    for split, count in (("train", images + 10), ("val", 20)):
        labels = np.arange(count) % len(CLASSES)
        for label in labels[: len(CLASSES)]:
            (folder / split / str(label)).mkdir(parents=True)
        paths = [folder / split / str(label) / f"{n}.png" for n, label in enumerate(labels)]
        pictures = paint(labels[:DISTINCT], size, random)
        for number, path in enumerate(paths):
            if number < len(pictures):
                Image.fromarray(pictures[number]).save(path)
            else:
                path.hardlink_to(paths[number % len(pictures)])
    overrides = [f"data.path={folder}", "data.source=huggingface", "data.val_size=10"]
    config = compose([*overrides, f"data.size={size}", f"data.crop={size}", "logger=none"])
    return prepare(config.data, folder / "cache")


def configure(network: str, size: int, crop: int, batch: int, *more: str) -> Config:
    """Return the configuration of a model at width 1; ``more`` has further overrides."""
    sizes = [f"data.size={size}", f"data.crop={crop}", "data.val_size=10"]
    recipe = [f"recipe.batch_size={batch}", "recipe.epochs=1000", "init=fan_in"]
    return compose([f"model={network}", "width=1", *sizes, *recipe, "logger=none", *more])


class Turns(pl.Callback):
    """Times the steps of a training, alternating with steps of the peers.

    Alternating means that changes of the machine's speed affect all of them. The order of the peers
    rotates, so that none benefits from the cache contents of another.

    Args:
        peers: Steps of the peers, by name.
        turn: Number of consecutive steps of each; a GPU is synchronized only after the last.
    """

    def __init__(self, peers: Mapping[str, Callable[[], None]], turn: int = 1) -> None:
        self.peers, self.turn = peers, turn
        self.times: dict[str, list[float]] = {"suite": [], **{name: [] for name in peers}}

    def on_train_start(self, *args: object) -> None:
        self.steps = 0
        self.began = time.perf_counter()

    def on_train_batch_end(self, *args: object) -> None:
        self.steps += 1
        if self.steps % self.turn:
            return
        settle()
        self.times["suite"].append(1e3 * (time.perf_counter() - self.began) / self.turn)
        order = list(self.peers)
        first = len(self.times["suite"]) % max(1, len(order))
        for name in order[first:] + order[:first]:
            self.times[name].append(1e3 * timed(self.peers[name], self.turn))
        self.began = time.perf_counter()


def settle() -> None:
    """Synchronize with the GPU, if one is used."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def timed(step: Callable[[], object], times: int = 1) -> float:
    """Return the seconds of a step, averaged over ``times`` consecutive steps."""
    start = time.perf_counter()
    for _ in range(times):
        step()
    settle()
    return (time.perf_counter() - start) / times


def suite(
    config: Config,
    data: Store,
    steps: int,
    world: int = 1,
    peers: Mapping[str, Callable[[], None]] | None = None,
    device: str = "cpu",
    turn: int = 1,
) -> dict[str, list[float]]:
    """Time training steps of the suite, and of peers.

    Args:
        config: Configuration of the run.
        data: Data store of the run.
        steps: Number of counted steps.
        world: Number of processes.
        peers: See :class:`Turns`.
        device: ``cpu`` or ``cuda``.
        turn: See :class:`Turns`.

    Returns:
        Milliseconds per step of each turn, by name: ``suite`` and the peers.
    """
    torch.backends.cudnn.allow_tf32 = False  # as in a run
    keep_freed_memory()
    images = Images(config.run, data)
    module = Classifier.of_store(config.run, data, len(images.train_images))
    turns = Turns(peers or {}, turn)
    steps += WARM_UP * turn
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        callbacks = [History(config.recipe), Progress(Path(folder))]
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=world,
            plugins=TorchElasticEnvironment() if world > 1 else LightningEnvironment(),
            strategy=DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
            if world > 1
            else "auto",
            precision=config.run.recipe.precision.lightning,
            max_steps=steps,
            limit_val_batches=0,
            logger=False,
            callbacks=[*callbacks, turns],
            enable_checkpointing=False,
            log_every_n_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
        )
        module.online_loss = WindowedLoss(steps)
        trainer.fit(module, images)
    return {name: times[WARM_UP:] for name, times in turns.times.items()}


def suite_step(config: Config, data: Store, steps: int) -> float:
    """Return the median seconds of a step of the suite."""
    return statistics.median(suite(config, data, steps)["suite"]) / 1e3


def bare_step(config: Config, data: Store, steps: int) -> float:
    """Return the median seconds of a step of the bare loop with all tricks."""
    step = bare(config, data, tricks=True)
    return statistics.median([timed(step) for _ in range(steps + WARM_UP)][WARM_UP:])


def bare(config: Config, data: Store, *, tricks: bool, device: str = "cpu") -> Callable[[], None]:
    """Return a step of a bare loop.

    Args:
        config: Configuration of the run.
        data: Data store of the run.
        tricks: Use the suite's memory format, response normalization, dropout masks and optimizer.
        device: ``cpu`` or ``cuda``.
    """
    torch.backends.cudnn.allow_tf32 = False  # as in a run
    run = config.run
    rows, _ = data.split(run.data.train_limit, run.data.val_size)
    network = models.build(run, len(data.classes)).train()
    edition = details(run.techniques.edition)
    if tricks:
        network = network.to(memory_format=torch.channels_last, device=device)
        optimizer: torch.optim.Optimizer = build_optimizer(
            network, run.recipe, edition.bias_lr_mult
        )
    else:
        for name, layer in list(network.named_children()):
            if isinstance(layer, ResponseNorm):
                plain = nn.LocalResponseNorm(5, 5 * layer.alpha, 0.75, layer.k)
                setattr(network, name, plain)
        network = network.to(device)
        optimizer = torch.optim.SGD(network.parameters(), run.recipe.lr, momentum=0.9)
    images = PixelBatches(data.train_images, data.train_labels, rows)
    images.to(torch.device(device))
    batches = EpochBatches(len(rows), run.recipe.batch_size, derive(run.seed, "bare"))
    inputs = augmenter(config, data, len(rows), device)
    is_bf16 = run.recipe.precision is Precision.bf16
    shares = endless(batches)
    dropouts = [layer for layer in network.modules() if isinstance(layer, SeededDropout)]

    def step() -> None:
        share = next(shares)
        batch = images.gather(share)
        x = inputs(batch.images, batch.positions.to(device, non_blocking=True))
        if not tricks:
            x = x.contiguous()
        for index, layer in enumerate(dropouts if tricks else []):
            layer.draw(index, share.rows.to(device, non_blocking=True))
        with torch.autocast(device, torch.bfloat16, enabled=is_bf16):
            loss = F.cross_entropy(network(x), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def endless(batches: EpochBatches):
    """Yield the shares of all batches, epoch after epoch."""
    while True:
        yield from batches


def augmenter(config: Config, data: Store, images: int, device: str = "cpu") -> Callable:
    """Return a function that augments a batch as the classifier does."""
    run = config.run
    edition = details(run.techniques.edition)
    mean = center_crop(torch.tensor(data.mean_image)[None], run.data.crop)[0].to(device)
    covariance = (data.color_basis * data.color_std**2) @ data.color_basis.T
    axes = color_axes(torch.tensor(covariance), power=edition.color_power).to(device)
    draws = draw(
        images,
        generator(0, "augmentation"),
        size=run.data.size,
        crop=run.data.crop,
        augmentation=run.techniques.augmentation,
    ).to(torch.device(device))

    def inputs(pixels: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        d = draws[positions]
        x = to_input(crop_and_flip(pixels, d.top, d.left, d.flip, run.data.crop), mean)
        if colors(run.techniques.augmentation):
            x = color_noise(x, d.color, axes, divisor=edition.color_divisor)
        return x

    return inputs
