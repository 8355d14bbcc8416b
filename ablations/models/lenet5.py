"""LeNet-5, the ancestor: tanh, average pooling, 60,850 parameters for ten classes of 32 pixels.

Source:
    LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition,
    1998, §II.B and Table I. Pooling sums four pixels, multiplies the sum by a trained coefficient
    and adds a trained bias; each map of the second convolution reads only some of the first six.

Deviates:
    Color images are turned gray and divided by 64, which gives them the variance of about 1 that
    the authors' had. The outputs are logits of a dense layer; the authors' were distances to a
    drawing of each digit. The largest initial weight is not 2.4 / fan-in, under which the signal
    fades to a ten-thousandth and SGD stands still (the authors measured curvatures and gave each
    weight a rate of its own), but what makes the variance 1 / fan-in, as in LeCun, Bottou, Orr and
    Müller, Efficient BackProp, 1998; initial biases are zero.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.models.fixed import Bounds, Fixed

# Table I: the maps of layer S2 that each map of C3 reads. Three neighbors, then four, then two
# pairs, then all.
TABLE = [
    *([i % 6 for i in range(first, first + 3)] for first in range(6)),
    *([i % 6 for i in range(first, first + 4)] for first in range(6)),
    *([0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]),
    [0, 1, 2, 3, 4, 5],
]


class Gray(nn.Module):
    """Brightness of a color image (ITU-R BT.601), with variance of about 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, 3, H, W) to (N, 1, H, W)."""
        red, green, blue = x.unbind(1)
        return (0.299 * red + 0.587 * green + 0.114 * blue)[:, None] / 64


class Squash(nn.Module):
    """1.7159 tanh(2/3 x), which takes 1 to 1 and -1 to -1."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return 1.7159 * torch.tanh(x * (2 / 3))


class Subsampling(nn.Module):
    """Sum of 2x2 pixels, times a coefficient, plus a bias, both for each map.

    Args:
        maps: Number of maps.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(maps))
        self.bias = nn.Parameter(torch.zeros(maps))

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, maps, H, W) to (N, maps, H // 2, W // 2)."""
        sums = F.avg_pool2d(x, 2, divisor_override=1)
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class TableConvolution(nn.Module):
    """5x5 convolution that reads the maps of :data:`TABLE` only, 60 kernels instead of 96."""

    pairs: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(kernel, map_) for kernel, maps in enumerate(TABLE) for map_ in maps]
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.empty(len(TABLE)))
        self.register_buffer("pairs", torch.tensor(pairs).T, persistent=False)

    def dense_weight(self) -> Tensor:
        """The weights of an ordinary convolution, zeros between, shape (16, 6, 5, 5)."""
        kernels, maps = self.pairs
        zeros = self.weight.new_zeros(len(TABLE), 6, 5, 5)
        return zeros.index_put((kernels, maps), self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, 6, H, W) to (N, 16, H - 4, W - 4)."""
        return F.conv2d(x, self.dense_weight(), self.bias)


def _bounds(layer: nn.Module) -> Bounds:
    """Weights of variance 1 / fan-in."""
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
    """Build the network; on the right the maps after a line.

    Args:
        classes: Number of outputs.
        width: 1 only; :func:`ablations.models.check` refuses others.
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
