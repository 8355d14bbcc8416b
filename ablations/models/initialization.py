"""Draw the initial weights of a network.

Each layer draws from its own stream of random numbers: wherever the shapes of two arms agree, they
start from the same weights, up to their scale.
"""

import math

import torch
from torch import nn

from ablations import rng
from ablations.config import Init, Run
from ablations.models.alexnet import AlexNet
from ablations.models.cifar_conv import CifarConv
from ablations.models.cifar_local import CifarLocal, LocallyConnected
from ablations.models.fixed import Fixed
from ablations.techniques import Activation

# Root mean square of a pixel minus the mean image, in gray levels: natural images have 60 to 70.
_PIXEL_RMS = 64.0


def initialize(network: nn.Sequential, run: Run) -> nn.Sequential:
    """Set all weights and biases in place.

    Args:
        network: The network of the run.
        run: Names the rule, the seed and the techniques.

    Returns:
        The network, channels last in memory.
    """
    if isinstance(network, Fixed):
        _draw_evenly(network, run)
    elif isinstance(network, AlexNet | CifarConv | CifarLocal):
        _draw_normally(network, run)
    else:
        raise TypeError(f"{type(network).__name__}: has no rule for its initial weights")
    return network.to(memory_format=torch.channels_last)


def fan_in(layer: nn.Module) -> int:
    """Number of inputs of each output of a layer.

    Examples:
        >>> fan_in(nn.Conv2d(8, 4, 3, groups=2))
        36
    """
    weight = layer.get_parameter("weight")
    if isinstance(layer, LocallyConnected):
        return weight.shape[1]
    return weight[0].numel()


def _draw_normally(network: AlexNet | CifarConv | CifarLocal, run: Run) -> None:
    """Draw Gaussian weights of the run's standard deviations, and set the biases."""
    seed = rng.derive(run.seed, run.replicate)
    stds = _printed_stds(network, run) if run.init is Init.paper else _fan_in_stds(network, run)
    for name, std in stds.items():
        layer = network.get_submodule(name)
        generator = rng.generator(seed, "init", name)
        with torch.no_grad():
            layer.get_parameter("weight").normal_(0, std, generator=generator)
            layer.get_parameter("bias").fill_(network.initial_bias[name])


def _printed_stds(network: AlexNet | CifarConv | CifarLocal, run: Run) -> dict[str, float]:
    """Return the authors' standard deviations (§5), rescaled to the size of the network.

    They were chosen for the printed size; where a narrower network or a smaller image leaves a
    layer fewer inputs, its standard deviation grows by the root of the ratio, so that signals keep
    the strength that they have in the printed network.
    """
    # A network's defaults are the size that the authors chose; its shapes alone take no memory.
    with torch.device("meta"):
        printed = type(network)(techniques=run.techniques)
    stds = {}
    for name, std in network.initial_std.items():
        ratio = fan_in(printed.get_submodule(name)) / fan_in(network.get_submodule(name))
        stds[name] = std * math.sqrt(ratio)
    return stds


def _fan_in_stds(network: AlexNet | CifarConv | CifarLocal, run: Run) -> dict[str, float]:
    """Return the roots of 2 / fan-in for ReLU (He et al. 2015), 1 / fan-in for the others.

    The latter are those of LeCun et al. 1998. The first layer is also divided by the strength of a
    pixel: all hidden layers then start with outputs of about 1, where the paper's constants of LRN
    change little but their scale. The last layer is ten times smaller, so that training starts from
    nearly equal probabilities.
    """
    gain = 2.0 if run.techniques.activation is Activation.relu else 1.0
    names = list(network.initial_std)
    stds = {name: math.sqrt(gain / fan_in(network.get_submodule(name))) for name in names}
    stds[names[0]] /= _PIXEL_RMS
    stds[names[-1]] /= 10
    return stds


def _draw_evenly(network: Fixed, run: Run) -> None:
    """Draw all weights and biases evenly between the bounds of the network's source."""
    seed = rng.derive(run.seed, run.replicate)
    for name, (weight, bias) in network.initial_bounds.items():
        layer = network.get_submodule(name)
        generator = rng.generator(seed, "init", name)
        with torch.no_grad():
            layer.get_parameter("weight").uniform_(-1, 1, generator=generator).mul_(weight)
            layer.get_parameter("bias").uniform_(-1, 1, generator=generator).mul_(bias)
