"""Compare the tutorials' networks with Keras: same weights, same images, same outputs.

    pip install -e '.[benchmarks]'
    python -m benchmarks.keras_forward [NETWORK ...] [--write]

Each network is also written in Keras, without dropout and softmax, and gets the weights and running
statistics of ours. A row has the number of parameters in the source, in ours, and in Keras, and the
largest difference of an output, relative to the largest output. The exit code is 1 if a number of
parameters differs, or an output by 1e-4. With ``--write`` the rows become the table of
docs/networks.md.
"""

import argparse
import os
import sys
from pathlib import Path

from ablations.config import DataConfig, Model, Run
from ablations.models import build
from ablations.models.lenet5 import Subsampling, TableConvolution
from benchmarks.table import into

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Imported after the suite: Triton (installed with torch) and TensorFlow each contain LLVM. If
# TensorFlow's is loaded first, loading the other ends the process.
import keras
import numpy as np
import tensorflow as tf
import torch
from keras import layers

PAGE = Path(__file__).resolve().parents[1] / "docs/networks.md"
HEADING = "| network | stated | ours | Keras | difference |", "|---|--:|--:|--:|--:|"
LIMIT = 1e-4
IMAGES = 2


def conv(filters: int, size: int, strides: int = 1, padding: str = "same", groups: int = 1):
    return layers.Conv2D(filters, size, strides, padding, groups=groups, activation="relu")


def pool(size: int = 3):
    return layers.MaxPooling2D(size, 2)


def head(*units: int, classes: int) -> list:
    hidden = [layers.Dense(n, activation="relu") for n in units]
    return [layers.Flatten(), *hidden, layers.Dense(classes)]


def keras_batchnorm() -> list:
    norm = layers.BatchNormalization
    return [
        *(keras.Input((227, 227, 3)), conv(96, 11, 4, "valid"), pool(), norm()),
        *(conv(256, 5), pool(), norm()),
        *(conv(384, 3), norm(), conv(384, 3), norm(), conv(256, 3), norm(), pool()),
        *head(4096, 4096, classes=1000),
    ]


def keras_functional() -> list:
    norm = layers.BatchNormalization
    return [
        *(keras.Input((224, 224, 3)), conv(96, 11, 4, "valid"), norm(), pool()),
        *(conv(256, 5), norm(), pool()),
        *(conv(384, 3), norm(), conv(384, 3), norm(), conv(256, 3), norm(), pool()),
        *head(4096, 4096, classes=10),
    ]


def keras_resized() -> list:
    norm = layers.BatchNormalization
    return [
        *(keras.Input((32, 32, 3)), layers.Resizing(227, 227)),
        *(conv(96, 11, 4), pool(), norm(), conv(256, 5), pool(2), norm()),
        *(conv(384, 3), conv(384, 3), conv(256, 3), pool(), norm()),
        *head(4096, 4096, classes=10),
    ]


def torch_style() -> list:
    return [
        *(keras.Input((224, 224, 3)), layers.ZeroPadding2D(2)),
        *(conv(96, 11, 4, "valid"), pool(), conv(256, 5, groups=2), pool()),
        *(conv(384, 3), conv(384, 3, groups=2), conv(256, 3, groups=2), pool()),
        *head(4096, 4096, classes=1000),
    ]


def two_branch() -> list:
    def lrn():
        def normalize(x):
            # As in the paper, alpha is not divided by the window size. The window is 2 maps to each
            # side.
            halves = tf.split(x, 2, axis=-1)
            constants = {"depth_radius": 2, "bias": 2.0, "alpha": 1e-4, "beta": 0.75}
            return tf.concat([tf.nn.lrn(half, **constants) for half in halves], axis=-1)

        return layers.Lambda(normalize)

    return [
        *(keras.Input((224, 224, 3)), layers.ZeroPadding2D(((1, 2), (1, 2)))),
        *(conv(96, 11, 4, "valid"), pool(), lrn(), conv(256, 5, groups=2), pool(), lrn()),
        *(conv(384, 3), conv(384, 3, groups=2), conv(256, 3, groups=2), pool()),
        *head(4096, 4096, classes=1000),
    ]


def half_tower(*units: int) -> list:
    return [
        *(keras.Input((224, 224, 3)), layers.ZeroPadding2D(((1, 2), (1, 2)))),
        *(conv(48, 11, 4, "valid"), pool(), conv(128, 5), pool()),
        *(conv(192, 3), conv(192, 3), conv(128, 3), pool()),
        *head(*units, classes=1000),
    ]


def lenet5() -> list:
    def squash():
        return layers.Lambda(lambda x: 1.7159 * keras.ops.tanh(2 / 3 * x))

    def subsample():
        return layers.DepthwiseConv2D(2, 2)

    gray = layers.Conv2D(1, 1, use_bias=False)
    gray.build((None, 32, 32, 3))
    gray.set_weights([np.array([0.299, 0.587, 0.114]).reshape(1, 1, 3, 1) / 64])
    return [
        *(keras.Input((32, 32, 3)), gray),
        *(layers.Conv2D(6, 5), squash(), subsample(), squash()),
        *(layers.Conv2D(16, 5), squash(), subsample(), squash()),
        *(layers.Conv2D(120, 5), squash(), layers.Flatten()),
        *(layers.Dense(84), squash(), layers.Dense(10)),
    ]


# Keras's layers, crop size, number of classes, number of parameters according to the source.
CASES = {
    Model.keras_batchnorm: (keras_batchnorm, 227, 1000, 62_383_848),
    Model.keras_functional: (keras_functional, 224, 10, 46_793_482),
    Model.keras_resized: (keras_resized, 32, 10, 58_324_746),
    Model.torch_style: (torch_style, 224, 1000, 60_965_224),
    Model.two_branch: (two_branch, 224, 1000, 60_965_224),
    Model.half_tower_v1: (lambda: half_tower(2048, 2048), 224, 1000, 16_630_440),
    Model.half_tower_v2: (lambda: half_tower(1024, 128), 224, 1000, 5_925_672),
    Model.lenet5: (lenet5, 32, 10, 60_850),
}
# In Keras each map of LeNet-5 reads all input maps and has four coefficients, so there are more
# parameters. Here they are zero or equal.
OTHER_COUNT = {Model.lenet5}


def construct(network: Model, crop: int, classes: int) -> torch.nn.Sequential:
    dataset = DataConfig(size=crop, crop=crop)
    run = Run(network, data=dataset)
    return build(run, classes).eval()


def stir(network: torch.nn.Sequential) -> None:
    """Change parameters that start at zero or one, because these could hide a mistake."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias") or name.startswith("norm"):
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=generator))


def keras_weights(network: torch.nn.Sequential, crop: int) -> list[list[np.ndarray]]:
    """Return the weights and running statistics of each layer in Keras's layout."""
    found = []
    maps: tuple[int, ...] = ()
    x = torch.zeros(1, 3, crop, crop)
    for layer in network:
        if isinstance(layer, torch.nn.Flatten):
            maps = tuple(x.shape[1:])
        match layer:
            case torch.nn.Conv2d():
                values = [layer.weight.permute(2, 3, 1, 0), layer.bias]
            case TableConvolution():
                values = [layer.dense_weight().permute(2, 3, 1, 0), layer.bias]
            case Subsampling():
                values = [layer.weight.expand(2, 2, -1)[..., None], layer.bias]
            case torch.nn.BatchNorm2d():
                values = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
            case torch.nn.Linear():
                # Keras flattens maps pixel by pixel, torch map by map.
                weight = layer.weight.unflatten(1, maps).permute(0, 2, 3, 1).flatten(1)
                maps = (layer.out_features, 1, 1)
                values = [weight.T, layer.bias]
            case _:
                values = []
        if values:
            found.append([value.detach().numpy() for value in values])
        x = layer(x)
    return found


def count(network: torch.nn.Sequential) -> int:
    """Return the number of parameters and running statistics, as Keras counts them."""
    statistics = [buffer.numel() for name, buffer in network.named_buffers() if "running" in name]
    return sum(statistics) + sum(parameter.numel() for parameter in network.parameters())


def compare(network: Model) -> tuple[str, bool]:
    """Return the Markdown row of a network, and whether it is within the limits."""
    layers_of, crop, classes, stated = CASES[network]
    ours, theirs = construct(network, crop, classes), keras.Sequential(layers_of())
    stir(ours)
    weighted = [layer for layer in theirs.layers if len(layer.weights) > 1]
    for layer, values in zip(weighted, keras_weights(ours, crop), strict=True):
        layer.set_weights(values)
    pixels = np.random.default_rng(0).uniform(-128, 128, (IMAGES, 3, crop, crop))
    with torch.no_grad():
        expected = ours(torch.tensor(pixels, dtype=torch.float32)).numpy()
    images = tf.constant(pixels.transpose(0, 2, 3, 1), tf.float32)
    outputs = theirs(images, training=False).numpy()
    difference = np.abs(outputs - expected).max() / np.abs(expected).max()
    counts = [stated, count(ours), theirs.count_params()]
    cells = [network.value, *(f"{n:,}" for n in counts), f"{difference:.1e}"]
    equal = len(set(counts[:2] if network in OTHER_COUNT else counts)) == 1
    return f"| {' | '.join(cells)} |", equal and difference < LIMIT


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keras_forward")
    parser.add_argument("networks", nargs="*", type=Model, metavar="NETWORK")
    parser.add_argument("--write", action="store_true", help="write docs/networks.md")
    given = parser.parse_intermixed_args()
    lines, within = list(HEADING), True
    for network in given.networks or CASES:
        line, is_within = compare(network)
        lines.append(line)
        within = within and is_within
    print("\n".join(lines))
    if given.write:
        PAGE.write_text(into(PAGE.read_text(), "\n".join(lines), "networks"))
    sys.exit(not within)


if __name__ == "__main__":
    main()
