"""Initial weights of the networks.

Each layer has its own random number generator. In two arms with one seed, layers of the same name
and shape therefore have the same initial weights, up to their scale.
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

# Root mean square of a pixel minus the mean image, in gray levels; 60 to 70 in natural images.
_PIXEL_RMS = 64.0

Free = AlexNet | CifarConv | CifarLocal  # networks that are not fixed


@torch.no_grad()
def initialize(network: Free | Fixed, run: Run) -> nn.Sequential:
    """Set the initial weights and biases of a network in place.

    Args:
        network: The network of the run.
        run: The run, which determines the seed and the scale of the weights.

    Returns:
        The network, in channels-last memory format.
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
    """Return the number of inputs of each output of a layer.

    Examples:
        >>> fan_in(nn.Conv2d(8, 4, 3, groups=2))
        36
    """
    weight = layer.get_parameter("weight")
    return weight.shape[1] if isinstance(layer, LocallyConnected) else weight[0].numel()


def _standard_deviations(network: Free, run: Run) -> dict[str, float]:
    """Return the standard deviation of the initial weights of each layer.

    ``init=paper``: the authors' values (§5). They suit the full-size network. In a layer with fewer
    inputs, because the network is narrower or the image smaller, the standard deviation is
    multiplied by the square root of the ratio, so that activations keep their scale.

    ``init=fan_in``: sqrt(2 / fan-in) for ReLU (He et al. 2015) and sqrt(1 / fan-in) for other
    activations (LeCun et al. 1998). The first layer is also divided by the root mean square of a
    pixel. Hidden layers then have initial outputs of about 1, where LRN with the paper's constants
    does little more than multiply by a constant. The last layer is divided by 10, so that the
    initial class probabilities are nearly equal.
    """
    inputs = {name: fan_in(network.get_submodule(name)) for name in network.initial_std}
    if run.init is Init.paper:
        # The default arguments give the full-size network; on `meta` it takes no memory.
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
