"""Workloads for a GPU: response normalization and training steps."""

import statistics
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import grad as gradient
from torch.utils.flop_counter import FlopCounterMode

from ablations import models
from ablations.config import Config, Precision
from ablations.techniques.norm import response_normalization
from benchmarks.loops import beside_loops, configure, timed
from benchmarks.measure import Row, alternate

DTYPES = torch.float32, torch.bfloat16
TURN = 20  # steps between two synchronizations with the GPU


def lrn(rounds: int, images: int = 512) -> list[Row]:
    """Compare response normalization of the first layer with torch's and with a memory copy.

    The forward and backward pass must transfer at least five tensors: read the activations and
    write the result; read the activations and the gradient and write a gradient. A copy transfers
    two tensors.
    """
    rows = []
    for dtype in DTYPES:
        flat, flat_grad = torch.randn(2, images, 96, 55, 55, device="cuda", dtype=dtype)
        flat.requires_grad_()
        x, grad = (
            a.detach().to(memory_format=torch.channels_last, copy=True) for a in (flat, flat_grad)
        )
        target = torch.empty_like(x)
        x.requires_grad_()
        theirs = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
        steps = {
            "ours": lambda x=x, grad=grad: gradient(response_normalization(x, towers=2), x, grad),
            "torch": lambda x=flat, grad=flat_grad, theirs=theirs: gradient(theirs(x), x, grad),
            "copy": lambda x=x, target=target: target.copy_(x.detach()),
        }
        found = alternate(
            {name: partial(timed, step, TURN) for name, step in steps.items()}, rounds, 60.0
        )
        name = f"LRN, {images}x96x55x55, {dtype}".replace("torch.", "")
        least = [2.5 * taken for taken in found["copy"]]
        rows += [
            Row(name, "torch's LRN", found["ours"], found["torch"]),
            Row(name, "a copy of the least bytes", found["ours"], least),
        ]
    return rows


def training(name: str, config: Config, steps: int, rounds: int) -> list[Row]:
    """Compare training steps with the bare loops and with the GPU's matrix product rate."""
    rows = beside_loops(name, config, steps, rounds, 120.0)
    precision = config.recipe.precision
    least = [1e3 * operations(config) / rate(precision)] * len(rows[0].ours)
    product = f"as many operations of a product, {precision.value}"
    return [*rows, Row(name, product, rows[0].ours, least)]


def operations(config: Config) -> int:
    """Return the floating-point operations of a step; a multiply-add counts as two."""
    batch, crop = config.run.recipe.batch_size, config.run.data.crop
    network = models.build(config.run, 10)
    with FlopCounterMode(display=False) as counter:
        logits = network(torch.zeros(2, 3, crop, crop))
        F.cross_entropy(logits, torch.zeros(2, dtype=torch.int64)).backward()
    return counter.get_total_flops() * batch // 2


def rate(precision: Precision, side: int = 8192) -> float:
    """Return the floating-point operations per second of a matrix product; float32 without TF32."""
    dtype = torch.bfloat16 if precision is Precision.bf16 else torch.float32
    a = torch.randn(side, side, device="cuda", dtype=dtype)
    timed(lambda: a @ a, 3)
    return 2 * side**3 / statistics.median(timed(lambda: a @ a, 3) for _ in range(7))


# Model, size, crop, batch size and further overrides; steps in a round.
NETWORKS = {
    "cifar_conv": (("cifar_conv", 32, 28, 128), 100),
    "cifar_local": (("cifar_local", 32, 24, 128), 100),
    "alexnet_small-32": (("alexnet_small", 32, 28, 128, "width=0.25"), 100),
    "alexnet-227": (("alexnet", 256, 227, 128), 20),
    "alexnet-227, bf16": (("alexnet", 256, 227, 128, "recipe.precision=bf16"), 20),
    "alexnet-224, bf16, batch 1024": (("alexnet", 256, 224, 1024, "recipe.precision=bf16"), 4),
}


def workloads(quick: bool) -> dict[str, Callable[[], list[Row]]]:
    """Return all workloads of this module, by name."""
    rounds = 5 if quick else 15

    def steps(name: str) -> list[Row]:
        words, count = NETWORKS[name]
        return training(name, configure(*words, "trainer=gpu"), count, rounds)

    return {"lrn": partial(lrn, rounds), **{name: partial(steps, name) for name in NETWORKS}}
