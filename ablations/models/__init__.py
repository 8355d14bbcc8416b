"""Specifications of the models, :func:`check` (without torch), and :func:`build`.

A network is an ``nn.Sequential`` of named layers with these attributes, each a dictionary by layer
name:

- ``decay_scale``: factor on the recipe's weight decay for the layer's weights; all other parameters
  have no weight decay.
- ``initial_std`` and ``initial_bias``, or ``initial_bounds`` in a fixed network: initial values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from ablations.config import ConfigError, Model, Run
from ablations.techniques import Techniques

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Spec:
    """Builder and limits of a model.

    These are not defined beside the layers because a configuration is checked before torch is
    imported.

    Attributes:
        builder: Module and name of the class or function that builds the network.
        crops: Smallest and largest height and width of the input images, in pixels.
        kernels: Number of kernels of the first convolution at ``width=1``.
        ignores: Techniques that have no effect in this network, with the reason. Only their default
            values are valid.
        fixed: Other settings that have only one valid value, with that value; empty for networks
            that take all techniques and sizes.
        raw_pixels: Whether the input is pixels from 0 to 255 without subtraction of the mean image.
    """

    builder: str
    crops: tuple[int, int]
    kernels: int = 96
    ignores: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    raw_pixels: bool = False


# Techniques with an effect outside the layers: on the images, the evaluation or the optimizer.
OUTSIDE = {"augmentation", "evaluation", "edition"}


def _fixed(
    builder: str, crop: int, kernels: int = 96, raw_pixels: bool = False, **more: Any
) -> Spec:
    """Return the specification of a model with fixed layers; ``more`` are other fixed settings."""
    ignores = {t.name: "its layers are fixed" for t in fields(Techniques) if t.name not in OUTSIDE}
    fixed = {"data.crop": crop, "init": "paper", **more}
    return Spec(builder, (crop, crop), kernels, ignores, fixed, raw_pixels)


_CUDA_CONVNET = {
    "dropout": "it has no hidden dense layer",
    "towers": "it has no towers",
    "depth": "its layers are fixed",
    "bias_init": "all its biases start at zero",
}

MODELS = {
    Model.alexnet: Spec("alexnet:AlexNet", (36, 448)),
    Model.alexnet_small: Spec("alexnet_small:alexnet_small", (8, 96)),
    Model.cifar_conv: Spec("cifar_conv:CifarConv", (8, 64), 32, _CUDA_CONVNET),
    Model.cifar_local: Spec("cifar_local:CifarLocal", (8, 64), 64, _CUDA_CONVNET),
    Model.keras_batchnorm: _fixed("tutorials:keras_batchnorm", 227),
    Model.keras_functional: _fixed("tutorials:keras_functional", 224),
    Model.keras_resized: _fixed("tutorials:keras_resized", 32, raw_pixels=True),
    Model.torch_style: _fixed("tutorials:torch_style", 224),
    Model.two_branch: _fixed("tutorials:two_branch", 224),
    Model.half_tower_v1: _fixed("tutorials:half_tower_v1", 224, kernels=48),
    Model.half_tower_v2: _fixed("tutorials:half_tower_v2", 224, kernels=48),
    Model.lenet5: _fixed("lenet5:lenet5", 32, width=1),
}


def check(run: Run) -> None:
    """Check that a run's settings are valid for its model and have an effect.

    Raises:
        ConfigError: A setting is invalid or has no effect; the message names the key, its value,
            valid values and the next step.
    """
    name, spec, given = run.model.value, MODELS[run.model], run.flat
    defaults = {technique.name: technique.default.value for technique in fields(Techniques)}
    for key, why in spec.ignores.items():
        if given[key] != defaults[key]:
            raise ConfigError(
                f"{key}={given[key]}: has no effect on model={name}, because {why}; next step: use "
                f"{key}={defaults[key]}, or model=alexnet or alexnet_small"
            )
    for key, needed in spec.fixed.items():
        if given[key] != needed:
            raise ConfigError(
                f"{key}={given[key]}: model={name} needs {key}={needed}; next step: use "
                f"experiment={name}, which has all that the network needs"
            )
    low, high = spec.crops
    if not low <= run.data.crop <= high:
        raise ConfigError(
            f"data.crop={run.data.crop}: model={name} supports crops of {low} to {high} pixels; "
            "next step: change data.crop, or use model=alexnet_small for small images or "
            "model=alexnet for large ones"
        )
    least = 8 / spec.kernels
    if run.width < least:
        raise ConfigError(
            f"width={run.width}: model={name} would have fewer than 8 kernels in its first "
            f"convolution; next step: use width={least:.3g} to 4"
        )


def build(run: Run, classes: int) -> "nn.Sequential":
    """Build the network of a run with its initial weights.

    Args:
        run: The run.
        classes: Number of outputs.

    Returns:
        The network in training mode, on the CPU, in channels-last memory format.

    Raises:
        ConfigError: See :func:`check`.
    """
    from ablations.models.initialization import initialize  # needs torch

    check(run)
    network: Any = construct(run, classes)
    return initialize(network, run)


def construct(run: Run, classes: int) -> "nn.Sequential":
    """Build the network of a run with torch's default initial weights.

    Args:
        run: The run.
        classes: Number of outputs.
    """
    spec = MODELS[run.model]
    builder = resolve_name(f"ablations.models.{spec.builder}")
    if spec.fixed:
        return builder(classes, width=run.width)
    return builder(classes, run.techniques, crop=run.data.crop, width=run.width)


def features(network: "nn.Sequential", x: "Tensor") -> "Tensor":
    """Return the outputs of the last hidden layer, the feature vectors of §6.1.

    Args:
        network: Any network of this package.
        x: Network input, shape (N, 3, H, W).

    Returns:
        Features, shape (N, F).
    """
    for layer in list(network)[:-1]:
        x = layer(x)
    return x
