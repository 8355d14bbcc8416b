"""Benchmarks of training steps, compared with bare loops and other frameworks, and of their parts.

Peers train the same network on the same images.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import grad as gradient

from ablations import models
from ablations.techniques.norm import response_normalization
from ablations.training.optimizer import build_optimizer
from benchmarks import template
from benchmarks.bf16 import bf16
from benchmarks.loops import beside_loops, configure, store_of, suite
from benchmarks.measure import Row, alternate

STEPS = 40  # of a small network in a round


def beside_template(rounds: int, seconds: float) -> list[Row]:
    """Compare training steps of cifar_conv, fully augmented, in the suite and in the template."""
    config = configure(*template.MODEL)
    data = store_of(config, STEPS)
    steps = {"suite": partial(suite, config, data), "template": partial(template.train, data)}
    found = alternate(steps, rounds, seconds)
    name = "cifar_conv, full augmentation"
    return [Row(name, "Lightning-Hydra template", found["suite"], found["template"])]


def lrn(rounds: int, seconds: float) -> list[Row]:
    """Compare the forward and backward pass of response normalization with other layers."""
    x = torch.randn(128, 32, 16, 16).to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(128, 32, 16, 16).to(memory_format=torch.channels_last)
    flat, flat_grad = x.detach().contiguous().requires_grad_(), grad.contiguous()
    theirs, batch_norm = nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), nn.BatchNorm2d(32)
    # Not `backward`, which would accumulate gradients.
    scale = list(batch_norm.parameters())
    steps = {
        "ours": lambda: gradient(response_normalization(x), [x], grad),
        "torch": lambda: gradient(theirs(flat), [flat], flat_grad),
        "contiguous": lambda: gradient(batch_norm(flat), [flat, *scale], flat_grad),
        "last": lambda: gradient(batch_norm(x), [x, *scale], grad),
    }
    found = alternate(steps, 5 * rounds, seconds)
    name, ours = "LRN, 128x32x16x16", found["ours"]
    return [
        Row(name, "torch's LRN", ours, found["torch"]),
        Row(name, "BatchNorm, contiguous", ours, found["contiguous"], less=True),
        Row(name, "BatchNorm, channels last", ours, found["last"], less=True),
    ]


def keras(rounds: int, seconds: float) -> list[Row]:
    """Compare a training step of the first tutorial's network with Keras."""
    name, peer, batch = "keras_batchnorm-227, batch 16", "Keras (TensorFlow)", 16
    try:
        import tensorflow as tf
        from keras import Sequential, losses, optimizers

        from benchmarks.keras_forward import keras_batchnorm
    except ImportError:
        return [Row(name, peer, [], [], note="not installed")]
    tf.config.threading.set_intra_op_parallelism_threads(torch.get_num_threads())
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = Sequential(keras_batchnorm())
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.SGD(0.001, momentum=0.9), loss)
    config = configure("keras_batchnorm", 227, 227, batch, "init=paper")
    network = models.build(config.run, 1000).train()
    optimizer = build_optimizer(network, config.run.recipe, 1.0)
    pixels = np.random.default_rng(0).normal(size=(batch, 227, 227, 3)).astype(np.float32)
    labels = np.arange(batch)
    images, classes = tf.constant(pixels), tf.constant(labels)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def ours() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x), torch.from_numpy(labels)).backward()
        optimizer.step()

    # `and None`, because `alternate` takes a returned float for the time.
    steps = {"ours": ours, "keras": lambda: model.train_on_batch(images, classes) and None}
    found = alternate(steps, rounds, seconds)
    return [Row(name, peer, found["ours"], found["keras"], note="no dropout in Keras")]


# Model, size, crop, batch size and further overrides.
NETWORKS = {
    "cifar_conv": ("cifar_conv", 32, 28, 128),
    "cifar_conv, no augmentation": ("cifar_conv", 32, 28, 128, "augmentation=none"),
    "cifar_local": ("cifar_local", 32, 24, 128),
    "alexnet_small-32": ("alexnet_small", 32, 28, 128, "width=0.25"),
    "alexnet_small-64": ("alexnet_small", 64, 56, 128, "width=0.25"),
    "alexnet-227": ("alexnet", 256, 227, 16),
    "alexnet-224": ("alexnet", 256, 224, 16),
}


def workloads(quick: bool) -> dict[str, Callable[[], list[Row]]]:
    """Return all workloads of this module, by name."""
    rounds, seconds = (3, 12.0) if quick else (7, 60.0)

    def loops(name: str) -> list[Row]:
        config = configure(*NETWORKS[name])
        return beside_loops(name, config, 4 if config.data.size > 100 else STEPS, rounds, seconds)

    return {
        "lrn": partial(lrn, rounds, seconds),
        "template": partial(beside_template, rounds, seconds),
        **{name: partial(loops, name) for name in NETWORKS},
        "keras": partial(keras, rounds, seconds),
        "bf16": partial(bf16, rounds, seconds),
    }
