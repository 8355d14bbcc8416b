"""Compare the suite with a bare loop in DDP, with one and two processes.

:func:`benchmarks.processes.ddp` starts this module once per rank:

    python -m torch.distributed.run --nproc-per-node N -m benchmarks.ranks STEPS
"""

import json
import os
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import distributed

from ablations import models
from ablations.config import Config
from ablations.data.loading import EpochBatches, PixelBatches
from ablations.data.store import Store
from ablations.rng import derive
from ablations.training.optimizer import build_optimizer
from benchmarks.loops import IMAGES, augmenter, configure, endless, store, suite


def bare(config: Config, data: Store, rank: int, world: int) -> Callable[[], None]:
    """Return a training step with torch's DistributedDataParallel and nothing else."""
    run = config.run
    network = models.build(run, len(data.classes))
    optimizer = build_optimizer(network, run.recipe, 1.0)
    parallel = torch.nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)
    rows, _ = data.split(None, run.data.val_size)
    images = PixelBatches(data.train_images, data.train_labels, rows)
    images.to(torch.device("cpu"))
    seed = derive(run.seed, "bare")
    shares = endless(EpochBatches(len(rows), run.recipe.batch_size, seed, rank, world))
    inputs = augmenter(config, data, len(rows))

    def step() -> None:
        batch = images.gather(next(shares))
        loss = F.cross_entropy(parallel(inputs(batch.images, batch.positions)), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    """Time alternating steps and print their milliseconds as JSON, on rank 0."""
    torch.set_num_threads(1)
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo")
    config, data = configure("cifar_conv", 32, 28, 128), store(32, IMAGES)
    peers = {"bare": bare(config, data, rank, world)}
    found = suite(config, data, int(sys.argv[1]), world, peers)
    if rank == 0:
        print(json.dumps(found))
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
