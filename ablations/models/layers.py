"""Table of a network's layers: output shapes, parameters, and multiply-adds."""

from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from ablations.config import Run
from ablations.models import construct
from ablations.models.cifar_local import LocallyConnected
from ablations.models.lenet5 import Subsampling, TableConvolution
from ablations.techniques.norm import BatchNorm2d


@dataclass(frozen=True)
class Layer:
    """One layer of a network.

    Attributes:
        name: Name of the layer in the network.
        kind: Class name of the layer.
        shape: Output shape for one image: channels, height, width; or features.
        parameters: Number of trained weights and biases.
        statistics: Number of running means and variances, which Keras also counts as parameters.
        multiply_adds: Multiply-adds of the forward pass of one image; those of pooling, dropout and
            normalizations without weights are not counted.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    statistics: int
    multiply_adds: int


def layers(run: Run, classes: int) -> list[Layer]:
    """Return the layers of a run's network; only shapes are computed.

    Args:
        run: The run.
        classes: Number of outputs.
    """
    rows = []
    with torch.device("meta"):
        network = construct(run, classes).eval()
        x = torch.empty(1, 3, run.data.crop, run.data.crop)
        for name, layer in network.named_children():
            x = layer(x)
            shape = tuple(x.shape[1:])
            statistics = 2 * layer.num_features if isinstance(layer, BatchNorm2d) else 0
            parameters = sum(parameter.numel() for parameter in layer.parameters())
            kind = type(layer).__name__
            cost = _multiply_adds(layer, shape)
            rows.append(Layer(name, kind, shape, parameters, statistics, cost))
    return rows


def _multiply_adds(layer: nn.Module, shape: tuple[int, ...]) -> int:
    match layer:
        case nn.Conv2d() | TableConvolution():
            return layer.weight.numel() * prod(shape[1:])
        case nn.Linear() | LocallyConnected():
            return layer.weight.numel()
        case BatchNorm2d() | Subsampling():
            return prod(shape)
        case _:
            return 0
