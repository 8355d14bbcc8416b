"""Steps that are timed alternately: the suite's training, and bare loops in torch.

*Bare* is a torch loop with images in memory, the same crops, flips, layers and optimizer, but
without Lightning, error computation, validation or checkpoints. *Plain* is the same loop with
contiguous memory format, torch's LRN and torch's SGD.
"""

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from PIL import Image
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ablations.composition import compose
from ablations.config import Accelerator, Config, Job, Precision
from ablations.data.datamodule import Images
from ablations.data.loading import TrainingLoader
from ablations.data.store import Store, prepare
from ablations.data.synthetic import CLASSES
from ablations.data.synthetic import draw as paint
from ablations.rng import generator
from ablations.techniques.augmentation import draw
from ablations.techniques.norm import ResponseNorm
from ablations.training.classifier import Classifier
from ablations.training.fit import build_trainer
from ablations.training.history import History
from ablations.training.optimizer import build_optimizer
from benchmarks.goals import LOOP
from benchmarks.measure import Row, alternate

DISTINCT = 128  # different pictures; a store repeats them, because they are slow to paint
WARM_UP = 3  # steps that are not counted
VAL_IMAGES = 10

PEERS = {"bare": LOOP, "plain": "bare loop, plain"}


@cache
def store(size: int, images: int) -> Store:
    """Return a data store with ``images`` training images, prepared from image files."""
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    pictures = paint(np.arange(DISTINCT) % len(CLASSES), size, np.random.default_rng(0))
    for split, count in (("train", images + VAL_IMAGES), ("val", 2 * len(CLASSES))):
        for number in range(count):
            path = folder / split / str(number % DISTINCT % len(CLASSES)) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pictures[number % DISTINCT]).save(path, compress_level=1)
    overrides = [f"data.path={folder}", "data.source=huggingface", f"data.val_size={VAL_IMAGES}"]
    config = compose([*overrides, f"data.size={size}", f"data.crop={size}", "logger=none"])
    return prepare(config.data, folder / "cache")


def configure(network: str, size: int, crop: int, batch: int, *more: str) -> Config:
    """Return the configuration of a model at width 1 on a CPU; ``more`` has further overrides."""
    sizes = [f"data.size={size}", f"data.crop={crop}", f"data.val_size={VAL_IMAGES}"]
    recipe = [f"recipe.batch_size={batch}", "recipe.epochs=1", "init=fan_in"]
    machine = ["trainer=cpu", "trainer.threads=1", "trainer.checkpoint_steps=1000000"]
    return compose([f"model={network}", "width=1", *sizes, *recipe, *machine, "logger=none", *more])


def store_of(config: Config, steps: int) -> Store:
    """Return data for which an epoch has the warm-up and ``steps`` more steps."""
    return store(config.data.size, (WARM_UP + steps) * config.recipe.batch_size)


def job_of(config: Config, data: Store) -> Job:
    """Return the frozen configuration of a run."""
    run = replace(config.run, fingerprint=data.fingerprint)
    names = config.experiment, "benchmark", "benchmark"
    return Job(run, *names, trainer=config.trainer, logger=config.logger, store=str(data.path))


class Clock(pl.Callback):
    """Times the steps of an epoch after the warm-up, until the device has finished them.

    Attributes:
        seconds: Mean seconds per step.
    """

    def on_train_batch_end(self, trainer: pl.Trainer, *args: object) -> None:
        if trainer.global_step == WARM_UP:
            settle()
            self.began = time.perf_counter()
        if trainer.global_step == trainer.num_training_batches:
            settle()
            steps = trainer.global_step - WARM_UP
            self.seconds = (time.perf_counter() - self.began) / steps


def settle() -> None:
    """Synchronize with the GPU, if one is used."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def timed(step: Callable[[], object], times: int = 1) -> float:
    """Return the mean seconds of ``times`` consecutive steps."""
    start = time.perf_counter()
    for _ in range(times):
        step()
    settle()
    return (time.perf_counter() - start) / times


def suite(config: Config, data: Store, world: int = 1) -> float:
    """Train an epoch as a run does; return the mean seconds of a step.

    Args:
        config: Configuration of the run.
        data: Data store of the run.
        world: Number of processes that train together.
    """
    torch.backends.cudnn.allow_tf32 = False  # as in a run
    job, images, clock = job_of(config, data), Images(config.run, data), Clock()
    module = Classifier.of_store(config.run, data, len(images.train_images))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = build_trainer(job, Path(folder), History(config.recipe), None, world)
        trainer.callbacks.append(clock)  # pyright: ignore
        trainer.fit(module, images)
    return clock.seconds


def bare(
    config: Config, data: Store, *, tricks: bool = True, rank: int = 0, world: int = 1
) -> Callable[[], None]:
    """Return a step of a bare loop, in DDP if a process group is initialized.

    Args:
        config: Configuration of the run.
        data: Data store of the run.
        tricks: Use the suite's memory format, response normalization, dropout masks and optimizer.
        rank: Rank of this process.
        world: Number of processes that train together.
    """
    torch.backends.cudnn.allow_tf32 = False  # as in a run
    run, on_gpu = config.run, config.trainer.accelerator is Accelerator.gpu
    device = torch.device("cuda" if on_gpu else "cpu")
    images = Images(run, data)
    module = Classifier.of_store(run, data, len(images.train_images)).to(device)
    pixels, network = images.train_images, module.network
    pixels.to(device)
    if tricks:
        optimizer = build_optimizer(network, run.recipe, module.details.bias_lr_mult)
    else:
        for name, layer in list(network.named_children()):
            if isinstance(layer, ResponseNorm):
                theirs = nn.LocalResponseNorm(5, 5 * layer.alpha, 0.75, layer.k)
                setattr(network, name, theirs)
        network = network.to(memory_format=torch.contiguous_format)
        optimizer = torch.optim.SGD(network.parameters(), run.recipe.lr, momentum=0.9)
    forward = DistributedDataParallel(network) if distributed.is_initialized() else network
    loader = TrainingLoader(pixels, run.recipe.batch_size, images.order_seed, rank, world)
    batches = chain.from_iterable(repeat(loader))
    draws = draw(
        len(pixels),
        generator(0, "augmentation"),
        size=run.data.size,
        crop=run.data.crop,
        augmentation=run.techniques.augmentation,
    ).to(device)
    is_bf16 = run.recipe.precision is Precision.bf16

    def step() -> None:
        batch = next(batches)
        x = module.augment(batch.images, draws[batch.positions.to(device, non_blocking=True)])
        if tricks:
            for index, layer in enumerate(module.dropouts):
                layer.seed(index, batch.rows.to(device, non_blocking=True))
        else:
            x = x.contiguous()
        with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
            loss = F.cross_entropy(forward(x), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def beside_loops(name: str, config: Config, steps: int, rounds: int, seconds: float) -> list[Row]:
    """Compare the suite with both bare loops; a round is ``steps`` steps of each."""
    data = store_of(config, steps)
    loops = {peer: bare(config, data, tricks=peer == "bare") for peer in PEERS}
    found = alternate(
        {
            "suite": partial(suite, config, data),
            **{peer: partial(timed, step, steps) for peer, step in loops.items()},
        },
        rounds,
        seconds,
    )
    return [Row(name, title, found["suite"], found[peer]) for peer, title in PEERS.items()]
