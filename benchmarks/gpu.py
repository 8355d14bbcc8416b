"""Workloads for a GPU: response normalization, training steps, and several runs on one GPU.

The tests run these workloads on a CPU.
"""

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
from benchmarks.loops import bare, configure, store, suite, timed
from benchmarks.measure import Row, alternate
from benchmarks.processes import together

DTYPES = torch.float32, torch.bfloat16
TURN = 20  # steps between two synchronizations with the GPU


def lrn(device: str, images: int, rounds: int) -> list[Row]:
    """Compare response normalization of the first layer with torch's and with a memory copy.

    The forward and backward pass must transfer at least five tensors: read the activations and
    write the result; read the activations and the gradient and write a gradient. A copy transfers
    two tensors.
    """
    rows = []
    for dtype in DTYPES:
        flat, flat_grad = torch.randn(2, images, 96, 55, 55, device=device, dtype=dtype)
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


PEERS = {"bare": "bare loop, same tricks", "plain": "bare loop, plain"}


def training(device: str, name: str, words: tuple, *, turn: int, turns: int) -> list[Row]:
    """Compare training steps with the bare loops and with the GPU's matrix product rate.

    An epoch has three turns, so that the median excludes the overhead at its start.
    """
    config = configure(*words)
    recipe = config.recipe
    data = store(config.data.size, 3 * turn * recipe.batch_size)
    peers = {peer: bare(config, data, tricks=peer == "bare", device=device) for peer in PEERS}
    found = suite(config, data, turns * turn, peers=peers, device=device, turn=turn)
    least = [1e3 * operations(config) / rate(device, recipe.precision)] * len(found["suite"])
    product = f"as many operations of a product, {recipe.precision.value}"
    return [
        Row(name, PEERS["bare"], found["suite"], found["bare"]),
        Row(name, PEERS["plain"], found["suite"], found["plain"]),
        Row(name, product, found["suite"], least),
    ]


def operations(config: Config) -> int:
    """Return the floating-point operations of a step; a multiply-add counts as two."""
    batch, crop = config.run.recipe.batch_size, config.run.data.crop
    network = models.build(config.run, 10)
    with FlopCounterMode(display=False) as counter:
        logits = network(torch.zeros(2, 3, crop, crop))
        F.cross_entropy(logits, torch.zeros(2, dtype=torch.int64)).backward()
    return counter.get_total_flops() * batch // 2


def rate(device: str, precision: Precision, side: int = 8192) -> float:
    """Return the floating-point operations per second of a matrix product; float32 without TF32."""
    dtype = torch.bfloat16 if precision is Precision.bf16 else torch.float32
    side = side if device == "cuda" else 512
    a = torch.randn(side, side, device=device, dtype=dtype)
    timed(lambda: a @ a, 3)
    return 2 * side**3 / statistics.median(timed(lambda: a @ a, 3) for _ in range(7))


def sharing(device: str, counts: tuple[int, ...], steps: int) -> list[Row]:
    """Compare simultaneous runs on one GPU with the same number of consecutive runs."""
    words = ["cifar_conv", "32", "28", "128", str(steps), "--device", device]
    alone, rows = together([words])[0], []
    for runs in counts:
        taken = max(together([words] * runs))
        name = f"{runs} runs side by side on a card, cifar_conv"
        rows.append(Row(name, "one after the other", [1e3 * taken], [1e3 * runs * alone]))
    return rows


def workloads(quick: bool, device: str) -> dict[str, Callable[[], list[Row]]]:
    """Return all workloads, by name."""
    rounds, turns = (5, 6) if quick else (15, 15)
    half = "recipe.precision=bf16"
    cases = {
        "cifar_conv": (("cifar_conv", 32, 28, 128), TURN),
        "cifar_local": (("cifar_local", 32, 24, 128), TURN),
        "alexnet_small-32": (("alexnet_small", 32, 28, 128, "width=0.25"), TURN),
        "alexnet-227": (("alexnet", 256, 227, 128), 6),
        "alexnet-227, bf16": (("alexnet", 256, 227, 128, half), 6),
        "alexnet-224, bf16, batch 1024": (("alexnet", 256, 224, 1024, half), 2),
    }
    steps = {
        name: partial(training, device, name, words, turn=turn, turns=turns)
        for name, (words, turn) in cases.items()
    }
    return {
        "lrn": partial(lrn, device, 512, rounds),
        **steps,
        "sharing": partial(sharing, device, (2, 4, 8, 16), 400),
    }
