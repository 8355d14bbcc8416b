"""LeNet-5: tanh, average pooling, 60,850 parameters for ten classes and 32-pixel images.

Source:
    LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition,
    1998, §II.B and Table I. Pooling sums four pixels, multiplies the sum by a trained coefficient
    and adds a trained bias. All but one of the maps of the second convolution read only some of the
    six maps before it.

Deviates:
    Color images are converted to gray and divided by 64, so that their variance is about 1 as in
    the original. The outputs are logits of a dense layer; the authors' were distances to a drawing
    of each digit. The authors drew initial weights from a uniform distribution with bound
    2.4 / fan-in, with which the signal shrinks in every layer, and used a separate learning rate
    for each weight. Here the variance of the initial weights is 1 / fan-in, as in LeCun, Bottou,
    Orr and Müller, Efficient BackProp, 1998; initial biases are zero.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.models.fixed import Bounds, Fixed

# Table I: the maps of layer S2 that each map of C3 reads: three adjacent maps, four adjacent maps,
# two pairs, and all maps.
TABLE = [
    *([i % 6 for i in range(first, first + 3)] for first in range(6)),
    *([i % 6 for i in range(first, first + 4)] for first in range(6)),
    *([0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]),
    [0, 1, 2, 3, 4, 5],
]


class Gray(nn.Module):
    """Brightness of a color image (ITU-R BT.601), scaled to a variance of about 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (N, 3, H, W) to (N, 1, H, W)."""
        red, green, blue = x.unbind(1)
        return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None] / 64


class Squash(nn.Module):
    """The activation 1.7159 tanh(2/3 x), which maps 1 to 1 and -1 to -1."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to a tensor of any shape."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """Sum over 2x2 windows, times a coefficient, plus a bias; each map has its own of both.

    Args:
        maps: Number of maps.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (N, maps, H, W) to (N, maps, H // 2, W // 2)."""
        sums = F.avg_pool2d(x, 2, divisor_override=1)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class TableConvolution(nn.Module):
    """5x5 convolution between the maps in :data:`TABLE`, with 60 kernels instead of 96."""

    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(kernel, map_) for kernel, maps in enumerate(TABLE) for map_ in maps]
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.empty(len(TABLE)))
        self.register_buffer("pairs", torch.tensor(pairs).T, persistent=False)

    def dense_weight(self) -> Tensor:
        """Return the weights of the equivalent dense convolution, shape (16, 6, 5, 5)."""
        kernels, maps = self.pairs
        zeros = self.weight.new_zeros(len(TABLE), 6, 5, 5)
        return zeros.index_put((kernels, maps), self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (N, 6, H, W) to (N, 16, H - 4, W - 4)."""
        return F.conv2d(x, self.dense_weight(), self.bias)


def _bounds(layer: nn.Module) -> Bounds:
    """Return bounds for which the variance of the weights is 1 / fan-in."""
    match layer:
        case TableConvolution():
            fan_in: float | Tensor = torch.tensor(
                [25.0 * len(maps) for maps in TABLE for _ in maps]
            )[:, None, None]
        case Subsampling():
            fan_in = 4
        case _:
            fan_in = math.prod(layer.get_parameter("weight").shape[1:])
    return (3 / fan_in) ** 0.5, 0.0


def lenet5(classes: int = 10, width: float = 1.0) -> Fixed:
    """Build the network; the comments give the size of the maps after each line.

    Args:
        classes: Number of outputs.
        width: Must be 1; :func:`ablations.models.check` reports other values.
    """
    layers: dict[str, nn.Module] = {
        "gray": Gray(),
        "conv1": nn.Conv2d(1, 6, 5),  # 28x28
        "activation1": Squash(),
        "pool2": Subsampling(6),  # 14x14
        "activation2": Squash(),
        "conv3": TableConvolution(),  # 10x10
        "activation3": Squash(),
        "pool4": Subsampling(16),  # 5x5
        "activation4": Squash(),
        "conv5": nn.Conv2d(16, 120, 5),  # 1x1
        "activation5": Squash(),
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(120, 84),
        "activation6": Squash(),
        "output": nn.Linear(84, classes),
    }
    return Fixed(layers, _bounds)
