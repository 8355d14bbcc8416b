"""One and two processes on the cores of this machine: the suite beside the same loop in bare DDP.

Started by :func:`ddp`, once for each rank:

    python -m torch.distributed.run --nproc-per-node N -m benchmarks.ranks KIND STEPS
"""

import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import distributed

from ablations import networks
from ablations.config import Config
from ablations.data.loading import EpochBatches, PixelBatches
from ablations.data.store import Store
from ablations.optimizer import build_optimizer
from ablations.streams import derive
from benchmarks.loops import IMAGES, augmenter, configure, endless, store, suite


def bare(config: Config, data: Store, steps: int, rank: int, world: int) -> float:
    """Steps in torch's DistributedDataParallel alone; median seconds of a step."""
    run = config.run
    network = networks.build(run, len(data.classes)).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(network, run.recipe, 1.0)
    parallel = torch.nn.parallel.DistributedDataParallel(network, gradient_as_bucket_view=True)
    rows, _ = data.split(None, run.dataset.val_size)
    images = PixelBatches(data.train_images, data.train_labels, rows)
    images.to(torch.device("cpu"))
    seed = derive(run.seed, "bare")
    shares = endless(EpochBatches(len(rows), run.recipe.batch_size, seed, rank, world))
    inputs, times = augmenter(config, data, len(rows)), []
    for _ in range(steps + 3):
        start = time.perf_counter()
        batch = images.__getitems__(next(shares))
        loss = F.cross_entropy(parallel(inputs(batch.images, batch.positions)), batch.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return float(np.median(times[3:]))


def main() -> None:
    """Time one kind of loop and print seconds of a step, on rank 0."""
    torch.set_num_threads(1)
    kind, steps = sys.argv[1], int(sys.argv[2])
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    distributed.init_process_group("gloo")
    config, data = configure("cifar_conv", 32, 28, 128), store(32, IMAGES)
    if kind == "suite":
        seconds = float(np.median(suite(config, data, steps, rank, world)["suite"])) / 1e3
    else:
        seconds = bare(config, data, steps, rank, world)
    if rank == 0:
        print(seconds)
    if distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
