"""Build a network and draw its initial weights.

Each layer draws from its own stream of random numbers: wherever the shapes of two arms agree, they
start from the same weights, up to their scale.
"""

import math
from dataclasses import replace

import torch
from torch import nn

from ablations import streams
from ablations.config import Init, Model, Run
from ablations.networks import (
    alexnet,
    alexnet_small,
    cifar_conv,
    cifar_local,
    half_tower,
    keras_batchnorm,
    keras_functional,
    keras_resized,
    lenet5,
    torch_style,
    two_branch,
)
from ablations.networks.alexnet import AlexNet
from ablations.networks.cifar_conv import CifarConv
from ablations.networks.cifar_local import CifarLocal, LocallyConnected
from ablations.networks.fixed import Fixed
from ablations.techniques import Activation

# Root mean square of a pixel less the mean image, in gray levels: natural images have 60 to 70.
_PIXEL_RMS = 64.0


def build(run: Run, classes: int) -> AlexNet | CifarConv | CifarLocal | Fixed:
    """See :func:`ablations.networks.build`."""
    network = construct(run, classes)
    if isinstance(network, Fixed):
        initialize_fixed(network, run)
        return network.to(memory_format=torch.channels_last)
    with torch.device("meta"):  # only its shapes are used, no memory
        printed = construct(_printed_size(run), classes)
    initialize(network, printed, run)
    return network.to(memory_format=torch.channels_last)


def construct(run: Run, classes: int) -> AlexNet | CifarConv | CifarLocal | Fixed:
    """The network of a run, its weights as torch's layers draw them."""
    match run.model:
        case Model.alexnet:
            return alexnet.build(run, classes)
        case Model.alexnet_small:
            return alexnet_small.build(run, classes)
        case Model.cifar_conv:
            return cifar_conv.build(run, classes)
        case Model.cifar_local:
            return cifar_local.build(run, classes)
        case Model.keras_batchnorm:
            return keras_batchnorm.build(run, classes)
        case Model.keras_functional:
            return keras_functional.build(run, classes)
        case Model.keras_resized:
            return keras_resized.build(run, classes)
        case Model.torch_style:
            return torch_style.build(run, classes)
        case Model.two_branch:
            return two_branch.build(run, classes)
        case Model.half_tower_v1 | Model.half_tower_v2:
            return half_tower.build(run, classes)
        case Model.lenet5:
            return lenet5.build(run, classes)


def _printed_size(run: Run) -> Run:
    """The network and the crop for which the authors chose the standard deviations."""
    match run.model:
        case Model.alexnet | Model.alexnet_small:
            network, size, crop = Model.alexnet, 256, 224
        case Model.cifar_conv:
            network, size, crop = run.model, 32, 32
        case Model.cifar_local:
            network, size, crop = run.model, 32, 24
    dataset = replace(run.data, size=size, crop=crop)
    return replace(run, model=network, width=1.0, data=dataset)


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


def initialize(network: AlexNet | CifarConv | CifarLocal, printed: nn.Module, run: Run) -> None:
    """Set all weights and biases in place.

    ``Init.paper``: Gaussians of the authors' standard deviations (§5). They were chosen for the
    printed size; where a narrower network or a smaller image leaves a layer fewer inputs, its
    standard deviation grows by the root of the ratio, so that signals keep the strength that they
    have in the printed network.

    ``Init.fan_in``: Gaussians of variance 2 / fan-in for ReLU (He et al. 2015), 1 / fan-in for the
    others (LeCun et al. 1998). The first layer is also divided by the strength of a pixel: all
    hidden layers then start with outputs of about 1, where the paper's constants of LRN change
    little but their scale. The last layer is ten times smaller, so that training starts from nearly
    equal probabilities.

    Args:
        network: Names the authors' standard deviation and bias of each of its layers.
        printed: The same network at its printed size, for its fan-ins only.
        run: Names the rule, the seed and the activation.
    """
    names = list(network.initial_std)
    seed = streams.derive(run.seed, run.replicate)
    gain = 2.0 if run.techniques.activation is Activation.relu else 1.0
    for name in names:
        layer = network.get_submodule(name)
        match run.init:
            case Init.paper:
                ratio = fan_in(printed.get_submodule(name)) / fan_in(layer)
                std = network.initial_std[name] * math.sqrt(ratio)
            case Init.fan_in:
                std = math.sqrt(gain / fan_in(layer))
                if name == names[0]:
                    std /= _PIXEL_RMS
                if name == names[-1]:
                    std /= 10
        with torch.no_grad():
            generator = streams.generator(seed, "init", name)
            layer.get_parameter("weight").normal_(0, std, generator=generator)
            layer.get_parameter("bias").fill_(network.initial_bias[name])


def initialize_fixed(network: Fixed, run: Run) -> None:
    """Draw all weights and biases evenly between the bounds of the network's source, in place."""
    seed = streams.derive(run.seed, run.replicate)
    for name, (weight, bias) in network.initial_bounds.items():
        layer = network.get_submodule(name)
        generator = streams.generator(seed, "init", name)
        with torch.no_grad():
            layer.get_parameter("weight").uniform_(-1, 1, generator=generator).mul_(weight)
            layer.get_parameter("bias").uniform_(-1, 1, generator=generator).mul_(bias)
