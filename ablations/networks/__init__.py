"""The networks: :func:`check` a configuration without torch, :func:`build` and initialize one.

A network is an ``nn.Sequential`` of named layers, read from the top of its file to the bottom, with
attributes by layer name: ``decay_scale``, the factor on the recipe's weight decay for the layer's
weights (no other parameter is decayed), and ``initial_std`` and ``initial_bias``, or
``initial_bounds`` in a network that its source fixes.
"""

import importlib
from dataclasses import fields
from typing import TYPE_CHECKING

from ablations.config import ConfigError, Init, Model, Run
from ablations.techniques import Augmentation, Edition, Techniques

if TYPE_CHECKING:
    from torch import Tensor, nn

# Why a technique does nothing in a network; any other value than the default is then a mistake.
_CUDA_CONVNET = {
    "dropout": "it has no hidden dense layer",
    "towers": "it was never cut into towers",
    "depth": "its layers are fixed",
    "bias_init": "all its biases start at zero",
}

# Height and width of the images of the networks that their source fixes.
FIXED_CROPS = {
    Model.keras_batchnorm: 227,
    Model.keras_functional: 224,
    Model.keras_resized: 32,
    Model.torch_style: 224,
    Model.two_branch: 224,
    Model.half_tower_v1: 224,
    Model.half_tower_v2: 224,
    Model.lenet5: 32,
}
# What they fix; the augmentation and the evaluation are the run's, and so is the bias rate, which
# an edition names.
_LAYERS = ("activation", "pooling", "norm", "dropout", "towers", "depth", "bias_init")

_NO_EFFECT = {
    Model.cifar_conv: _CUDA_CONVNET,
    Model.cifar_local: _CUDA_CONVNET,
    **dict.fromkeys(FIXED_CROPS, dict.fromkeys(_LAYERS, "its source fixes it")),
}

# Networks that read the pixels as they are, 0 to 255, without subtracting the mean image.
RAW_PIXELS = frozenset({Model.keras_resized})

# Smallest and largest crop: at least one pixel is left by the last pooling; the dense layers grow
# with the crop.
CROPS = {
    Model.alexnet: (36, 448),
    Model.alexnet_small: (8, 96),
    Model.cifar_conv: (8, 64),
    Model.cifar_local: (8, 64),
    **{network: (crop, crop) for network, crop in FIXED_CROPS.items()},
}

# Kernels of the first convolution of the printed network.
_KERNELS = {
    Model.alexnet: 96,
    Model.alexnet_small: 96,
    Model.cifar_conv: 32,
    Model.cifar_local: 64,
    **dict.fromkeys(FIXED_CROPS, 96),  # of LeNet-5 there is one width only
    Model.half_tower_v1: 48,
    Model.half_tower_v2: 48,
}


def check(run: Run) -> None:
    """Refuse experiments that cannot work in the run's network or would change nothing.

    Raises:
        ConfigError: One message that names the key, its value, valid values and the next step.
    """
    name = run.model.value
    for field in fields(Techniques):
        value = getattr(run.techniques, field.name)
        why = _NO_EFFECT.get(run.model, {}).get(field.name)
        if why and value is not field.default:
            raise ConfigError(
                f"{field.name}={value.value} has no effect on model={name}: {why}. Leave "
                f"{field.name}={field.default.value}, or use model=alexnet or alexnet_small"
            )
    if run.model in _NO_EFFECT and run.techniques.edition is Edition.released:
        noisy = run.techniques.augmentation in (Augmentation.full, Augmentation.color)
        if not noisy and run.recipe.bias_lr_mult is not None:
            raise ConfigError(
                f"edition=released has no effect on model={name} with recipe.bias_lr_mult="
                f"{run.recipe.bias_lr_mult} and augmentation={run.techniques.augmentation.value}: "
                "it differs in the bias rate and the color noise only. Set "
                "recipe.bias_lr_mult=null, or leave edition=printed"
            )
    if run.model in FIXED_CROPS:
        _check_fixed(run)
    low, high = CROPS[run.model]
    if not low <= run.data.crop <= high:
        fitting = [network.value for network, (a, b) in CROPS.items() if a <= run.data.crop <= b]
        raise ConfigError(
            f"data.crop={run.data.crop}: model={name} takes crops of {low} to {high} "
            "pixels. Change data.crop"
            + (f", or use model={' or '.join(fitting)}" if fitting else "")
        )
    least = 8 / _KERNELS[run.model]
    if run.width < least:
        raise ConfigError(
            f"width={run.width}: model={name} would have fewer than 8 kernels in its first "
            f"convolution. Use width={least:.3g} to 4"
        )


def _check_fixed(run: Run) -> None:
    """Refuse images, initial weights and a width that the source of the network does not have."""
    crop = FIXED_CROPS[run.model]
    given = {"data.crop": run.data.crop, "init": run.init.value, "width": run.width}
    fixed: dict[str, object] = {"data.crop": crop, "init": Init.paper.value}
    if run.model is Model.lenet5:
        fixed["width"] = 1
    wrong = {key: value for key, value in fixed.items() if value != given[key]}
    if not wrong:
        return
    if run.data.size < crop:
        wrong = {"data.size": crop, **wrong}
    raise ConfigError(
        f"{' '.join(f'{key}={given[key]}' for key in wrong if key in given)}: "
        f"model={run.model.value} has the images and the initial weights of its source. Set "
        f"{' '.join(f'{key}={value}' for key, value in wrong.items())}, or use "
        f"experiment={run.model.value}"
    )


def build(run: Run, classes: int) -> "nn.Sequential":
    """Build the network of a run and draw its initial weights.

    Args:
        run: What to build.
        classes: Number of outputs.

    Returns:
        The network, in training mode, on the CPU, channels last in memory.

    Raises:
        ConfigError: See :func:`check`.
    """
    check(run)
    # By name: the command line checks a configuration before it loads torch.
    return importlib.import_module("ablations.networks.initialization").build(run, classes)


def features(network: "nn.Sequential", x: "Tensor") -> "Tensor":
    """Outputs of the last hidden layer, whose distances §6.1 compares.

    Args:
        network: Any network of this package.
        x: Images less their mean, shape (N, 3, H, W).

    Returns:
        Shape (N, features).
    """
    for layer in list(network)[:-1]:
        x = layer(x)
    return x
