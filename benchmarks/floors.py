"""What no training step can do without: its convolutions and matrix products, and their rate."""

import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from ablations import networks
from ablations.config import Config
from ablations.optimizer import build_optimizer
from benchmarks.loops import configure, timed
from benchmarks.measure import Row, pair

PRODUCTS = {
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
}
SIDE = 1024  # of the matrices whose product is the peer


def floors(rounds: int) -> list[Row]:
    """For the steps whose goals are missed: products as a share of a step, and their rate."""
    cases = {
        "cifar_conv": configure("cifar_conv", 32, 28, 128),
        "keras_batchnorm-227": configure("keras_batchnorm", 227, 227, 16, "init=paper"),
    }
    return [row for name, config in cases.items() for row in _floor(name, config, rounds)]


def _floor(name: str, config: Config, rounds: int) -> list[Row]:
    step = _step(config)
    with FlopCounterMode(display=False) as counter:
        step()
    whole, products = [], []
    for _ in range(rounds):
        whole.append(1e3 * timed(step))
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            step()
        spent = sum(e.self_cpu_time_total for e in seen.key_averages() if e.key in PRODUCTS)
        products.append(spent / 1e3)
    # What a product of two matrices would take for as many operations.
    least = [counter.get_total_flops() / rate * 1e3 for rate in _rates(rounds)]
    share = f"products of a {name} step"
    return [
        pair(share, "the whole step", products, whole, less=True, detail=True),
        pair(share, "as many operations of a matrix product", products, least, detail=True),
    ]


def _step(config: Config) -> Callable[[], None]:
    """A step on images of noise; after two of them, so that memory is there."""
    network = networks.build(config.run, 10).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(network, config.run.recipe, 1.0)
    batch, crop = config.run.recipe.batch_size, config.run.data.crop
    images = torch.randn(batch, 3, crop, crop).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 10

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    step()
    step()
    return step


def _rates(rounds: int) -> list[float]:
    """Operations a second of a product of two matrices, float32."""
    a = torch.randn(SIDE, SIDE)
    a @ a
    return [
        2 * SIDE**3 / statistics.median(timed(lambda: a @ a) for _ in range(9))
        for _ in range(rounds)
    ]
