"""Measure the part of a training step that every loop has: convolutions and matrix products.

Their rate is compared with that of one large matrix product. The module also compares bf16 with
float32, for the products and for the rest of a step.
"""

import statistics
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import grad as gradient
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from ablations import models
from ablations.config import Config, Precision
from ablations.techniques.norm import ResponseNorm, WithinMapResponseNorm
from ablations.training.optimizer import build_optimizer
from benchmarks.loops import configure, store, suite_step, timed
from benchmarks.measure import Row, alternate, pair

PRODUCTS = {
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
}
SIDE = 1024  # size of the matrices whose product is the peer


def floors(rounds: int) -> list[Row]:
    """Measure the share of products in two steps that miss their goals, and their rate."""
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
        products.append(_split(step)[0])
    # Time of the same number of operations in a plain matrix product.
    least = [counter.get_total_flops() / rate * 1e3 for rate in _rates(rounds)]
    workload = f"products of a {name} step"
    return [
        pair(workload, "the whole step", products, whole, less=True),
        pair(workload, "as many operations of a matrix product", products, least),
    ]


def bf16(rounds: int, seconds: float) -> list[Row]:
    """Compare training steps and their parts in bf16 and float32."""
    rows = []
    narrow = ("width=0.25", "edition=released")
    for name, goal, images, words in (
        ("cifar_conv", 1.6, 1280, ("cifar_conv", 32, 28, 128)),
        ("alexnet_small-32", 1.4, 1280, ("alexnet_small", 32, 24, 128, *narrow)),
        ("alexnet-227", 1.5, 64, ("alexnet", 256, 227, 16)),
    ):
        data = store(words[1], images)
        configs = {p: configure(*words, f"recipe.precision={p.value}") for p in Precision}
        steps = 40 if words[1] < 100 else 8
        found = alternate(
            {p.value: partial(suite_step, config, data, steps) for p, config in configs.items()},
            rounds,
            seconds,
        )
        parts: dict[str, list[tuple[float, float]]] = {p.value: [] for p in Precision}
        singles = {p.value: _step(config) for p, config in configs.items()}
        for _ in range(3 * rounds):
            for precision, step in singles.items():
                parts[precision].append(_split(step))
        products, rest = (
            {precision: [split[part] for split in splits] for precision, splits in parts.items()}
            for part in (0, 1)
        )
        peer = "the same in float32"
        rows += [
            pair(f"{name} in bf16", peer, found["bf16"], found["fp32"], goal),
            pair(
                f"{name}: products of a step in bf16",
                peer,
                products["bf16"],
                products["fp32"],
            ),
            pair(f"{name}: rest of a step in bf16", peer, rest["bf16"], rest["fp32"]),
            pair(
                f"{name}: rest of a step in bf16",
                "its products",
                rest["bf16"],
                products["bf16"],
                less=True,
            ),
        ]
        if not name.startswith("cifar"):
            step, norms = singles["bf16"], _normalizations(configs[Precision.bf16])
            turns = alternate({"norms": norms, "step": step}, 3 * rounds, seconds)
            workload = f"{name}: response normalization in bf16"
            rows.append(pair(workload, "the whole step", turns["norms"], turns["step"], less=True))
    return rows


def _normalizations(config: Config) -> Callable[[], None]:
    """Return a function that runs only the response normalizations of a network, in bf16."""
    network = models.build(config.run, 10)
    shapes: dict[nn.Module, torch.Size] = {}
    for layer in network.modules():
        if isinstance(layer, ResponseNorm | WithinMapResponseNorm):
            layer.register_forward_pre_hook(lambda m, inputs: shapes.update({m: inputs[0].shape}))
    crop = config.run.data.crop
    with torch.inference_mode():
        network(torch.zeros(config.run.recipe.batch_size, 3, crop, crop))
    drawn = {
        layer: torch.randn(shape, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
        for layer, shape in shapes.items()
    }

    def norms() -> None:
        for layer, x in drawn.items():
            gradient(layer(x.requires_grad_()), [x], x.detach())

    return norms


def _split(step: Callable[[], None]) -> tuple[float, float]:
    """Return the milliseconds of a step's products and of the rest."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    events = profiler.key_averages()
    products = sum(e.self_cpu_time_total for e in events if e.key in PRODUCTS) / 1e3
    return products, sum(e.self_cpu_time_total for e in events) / 1e3 - products


def _step(config: Config) -> Callable[[], None]:
    """Return a training step on random images, after two warm-up steps."""
    network = models.build(config.run, 10).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(network, config.run.recipe, 1.0)
    batch, crop = config.run.recipe.batch_size, config.run.data.crop
    images = torch.randn(batch, 3, crop, crop).to(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 10
    is_bf16 = config.run.recipe.precision is Precision.bf16

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()

    step()
    step()
    return step


def _rates(rounds: int) -> list[float]:
    """Return the operations per second of a matrix product in float32."""
    a = torch.randn(SIDE, SIDE)
    a @ a
    return [
        2 * SIDE**3 / statistics.median(timed(lambda: a @ a) for _ in range(9))
        for _ in range(rounds)
    ]
