"""Table of a network's layers: output shapes, parameters, and multiply-adds."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from ablations.config import Run
from ablations.models import construct
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
        multiply_adds: Multiply-adds of convolutions and matrix products in the forward pass of one
            image.
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
            with FlopCounterMode(display=False) as counter:
                x = layer(x)
            statistics = 2 * layer.num_features if isinstance(layer, BatchNorm2d) else 0
            row = Layer(
                name=name,
                kind=type(layer).__name__,
                shape=tuple(x.shape[1:]),
                parameters=sum(parameter.numel() for parameter in layer.parameters()),
                statistics=statistics,
                multiply_adds=counter.get_total_flops() // 2,
            )
            rows.append(row)
    return rows
