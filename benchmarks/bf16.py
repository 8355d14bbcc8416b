"""Compare training steps in bf16 and float32, and their two parts.

The parts are the products (convolutions and matrix products) and the rest of a step.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import grad as gradient
from torch.profiler import ProfilerActivity, profile

from ablations import models
from ablations.config import Config, Precision
from ablations.techniques.norm import ResponseNorm, WithinMapResponseNorm
from ablations.training.optimizer import build_optimizer
from benchmarks.loops import configure, store, suite_step
from benchmarks.measure import Row, alternate

PRODUCTS = {
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
}


def bf16(rounds: int, seconds: float) -> list[Row]:
    """Compare training steps and their parts in bf16 and float32."""
    rows = []
    narrow = ("width=0.25", "edition=released")
    for name, images, words in (
        ("cifar_conv", 1280, ("cifar_conv", 32, 28, 128)),
        ("alexnet_small-32", 1280, ("alexnet_small", 32, 24, 128, *narrow)),
        ("alexnet-227", 64, ("alexnet", 256, 227, 16)),
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
            Row(f"{name} in bf16", peer, found["bf16"], found["fp32"]),
            Row(
                f"{name}: products of a step in bf16",
                peer,
                products["bf16"],
                products["fp32"],
            ),
            Row(f"{name}: rest of a step in bf16", peer, rest["bf16"], rest["fp32"]),
            Row(
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
            rows.append(Row(workload, "the whole step", turns["norms"], turns["step"], less=True))
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
