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

Free = AlexNet | CifarConv | CifarLocal  # networks whose techniques, width and images may change


@torch.no_grad()
def initialize(network: Free | Fixed, run: Run) -> nn.Sequential:
    """Set all weights and biases in place.

    Args:
        network: The network of the run.
        run: Names the rule, the seed and the techniques.

    Returns:
        The network, channels last in memory.
    """
    seed = rng.derive(run.seed, run.replicate)
    stds = {} if isinstance(network, Fixed) else _standard_deviations(network, run)
    for name in network.decay_scale:
        layer = network.get_submodule(name)
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        generator = rng.generator(seed, "init", name)
        if isinstance(network, Fixed):
            largest_weight, largest_bias = network.initial_bounds[name]
            weight.uniform_(-1, 1, generator=generator).mul_(largest_weight)
            bias.uniform_(-1, 1, generator=generator).mul_(largest_bias)
        else:
            weight.normal_(0, stds[name], generator=generator)
            bias.fill_(network.initial_bias[name])
    return network.to(memory_format=torch.channels_last)


def fan_in(layer: nn.Module) -> int:
    """Number of inputs of each output of a layer.

    Examples:
        >>> fan_in(nn.Conv2d(8, 4, 3, groups=2))
        36
    """
    weight = layer.get_parameter("weight")
    return weight.shape[1] if isinstance(layer, LocallyConnected) else weight[0].numel()


def _standard_deviations(network: Free, run: Run) -> dict[str, float]:
    """Return the standard deviation of the Gaussian weights of each layer.

    ``init=paper``: the authors' (§5), chosen for the printed size. Where a narrower network or a
    smaller image leaves a layer fewer inputs, its standard deviation grows by the root of the
    ratio, so that signals keep the strength that they have in the printed network.

    ``init=fan_in``: the roots of 2 / fan-in for ReLU (He et al. 2015) and of 1 / fan-in for the
    others (LeCun et al. 1998). The first layer is also divided by the strength of a pixel: all
    hidden layers then start with outputs of about 1, where the paper's constants of LRN change
    little but their scale. The last layer is ten times smaller, so that training starts from nearly
    equal probabilities.
    """
    inputs = {name: fan_in(network.get_submodule(name)) for name in network.initial_std}
    if run.init is Init.paper:
        # A network's defaults are the printed size; its shapes alone take no memory.
        with torch.device("meta"):
            printed = type(network)(techniques=run.techniques)
        return {
            name: std * math.sqrt(fan_in(printed.get_submodule(name)) / inputs[name])
            for name, std in network.initial_std.items()
        }
    gain = 2.0 if run.techniques.activation is Activation.relu else 1.0
    stds = {name: math.sqrt(gain / n) for name, n in inputs.items()}
    first, *_, last = stds
    stds[first] /= _PIXEL_RMS
    stds[last] /= 10
    return stds
