"""The CIFAR-10 network of cuda-convnet with locally connected layers: 13 % error, 11 % with LRN.

These errors are in §3.3. The authors' two files differ in more than LRN: the network with LRN has
twice as many kernels in ``local3`` and a different weight decay in the last layer, and was trained
three times as long. Here both arms follow ``layers-conv-local-13pct.cfg``. LRN spans 5 maps and
precedes each pooling layer, as in an earlier version of the authors' repository (commit 3878e8f)
that does not widen any layer. The authors' weight decay is ``recipe.weight_decay=0.004``; the
convolutions have none.
"""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.techniques import Techniques
from ablations.techniques.activation import activation_layer
from ablations.techniques.norm import ResponseNorm, norm_layer
from ablations.techniques.pooling import pooling_layer


class LocallyConnected(nn.Module):
    """Locally connected layer: 3x3 kernels with separate weights and biases at each position.

    Args:
        inputs: Number of input maps.
        kernels: Number of output maps.
        size: Height and width of the maps, in pixels.
    """

    def __init__(self, inputs: int, kernels: int, size: int) -> None:
        super().__init__()
        fan_in, positions = 9 * inputs, size * size
        self.weight = nn.Parameter(torch.empty(positions, fan_in, kernels))
        self.bias = nn.Parameter(torch.empty(positions, 1, kernels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases as ``torch.nn.Conv2d`` does."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map shape (N, inputs, size, size) to (N, kernels, size, size)."""
        n, _, height, width = x.shape
        # One matrix product for each position.
        windows = F.unfold(x, 3, padding=1).permute(2, 0, 1)
        maps = torch.baddbmm(self.bias, windows, self.weight)
        return maps.view(height, width, n, -1).permute(2, 3, 0, 1)


class CifarLocal(nn.Sequential):
    """Two convolutions, two locally connected layers and one dense layer.

    Args:
        classes: Number of outputs.
        techniques: Only activation, pooling, and normalization (after convolutions 1 and 2) have an
            effect; None means the paper's.
        crop: Height and width of the images, in pixels; the authors used 24.
        width: Factor on the numbers of kernels.

    Examples:
        >>> sum(parameter.numel() for parameter in CifarLocal().parameters())
        1116490
    """

    def __init__(
        self,
        classes: int = 10,
        techniques: Techniques | None = None,
        *,
        crop: int = 24,
        width: float = 1.0,
    ) -> None:
        chosen = techniques or Techniques()
        c1, c2, c3, c4 = (round(n * width) for n in (64, 64, 32, 32))
        size = crop // 4

        def normalize(channels: int) -> nn.Module:
            # The authors' 0.001 is divided by the 5 maps of the window.
            return norm_layer(chosen.norm, channels, ResponseNorm(k=1.0, alpha=1e-3 / 5))

        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(3, c1, 5, padding=2),  # 64 x 24 x 24
                activation1=activation_layer(chosen.activation),
                norm1=normalize(c1),
                pool1=pooling_layer(chosen.pooling),  # 64 x 12 x 12
                conv2=nn.Conv2d(c1, c2, 5, padding=2),  # 64 x 12 x 12
                activation2=activation_layer(chosen.activation),
                norm2=normalize(c2),
                pool2=pooling_layer(chosen.pooling),  # 64 x 6 x 6
                local3=LocallyConnected(c2, c3, size),  # 32 x 6 x 6
                activation3=activation_layer(chosen.activation),
                local4=LocallyConnected(c3, c4, size),  # 32 x 6 x 6
                activation4=activation_layer(chosen.activation),
                flatten=nn.Flatten(),  # 1152
                fc10=nn.Linear(c4 * size**2, classes),  # 10
            )
        )
        self.decay_scale = {"conv1": 0.0, "conv2": 0.0, "local3": 1.0, "local4": 1.0, "fc10": 1.0}
        self.initial_std = {
            "conv1": 0.0001,
            "conv2": 0.01,
            "local3": 0.04,
            "local4": 0.04,
            "fc10": 0.01,
        }
        self.initial_bias = dict.fromkeys(self.initial_std, 0.0)
