"""cuda-convnet's network with three convolutions: 18 % CIFAR-10 error, 19 % without normalization.

The authors' files are ``layers-18pct.cfg`` and ``layers-19pct.cfg``. They differ mainly in
the normalization, which is within each map here. The weight decay of the last layer also differs
(1 with normalization, 3 without); this network has 1 in both arms. The authors' weight decay is
``recipe.weight_decay=0.004``.
"""

from collections import OrderedDict

from torch import nn

from ablations.techniques import Techniques
from ablations.techniques.activation import activation_layer
from ablations.techniques.norm import WithinMapResponseNorm, norm_layer
from ablations.techniques.pooling import pooling_layer


class CifarConv(nn.Sequential):
    """Three convolutions and one dense layer.

    Args:
        classes: Number of outputs.
        techniques: Only activation, pooling, and normalization (before convolutions 2 and 3) have
            an effect; None means the paper's.
        crop: Height and width of the images, in pixels; the authors used 32.
        width: Factor on the numbers of kernels.

    Examples:
        >>> sum(parameter.numel() for parameter in CifarConv().parameters())
        89578
    """

    def __init__(
        self,
        classes: int = 10,
        techniques: Techniques | None = None,
        *,
        crop: int = 32,
        width: float = 1.0,
    ) -> None:
        chosen = techniques or Techniques()
        c1, c2, c3 = (round(n * width) for n in (32, 32, 64))

        def normalize(channels: int) -> nn.Module:
            return norm_layer(chosen.norm, channels, WithinMapResponseNorm(size=3, alpha=5e-5))

        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(3, c1, 5, padding=2),  # 32 x 32 x 32
                pool1=pooling_layer(chosen.pooling),  # 32 x 16 x 16
                activation1=activation_layer(chosen.activation),
                norm1=normalize(c1),
                conv2=nn.Conv2d(c1, c2, 5, padding=2),  # 32 x 16 x 16
                activation2=activation_layer(chosen.activation),
                pool2=pooling_layer(chosen.pooling, average=True),  # 32 x 8 x 8
                norm2=normalize(c2),
                conv3=nn.Conv2d(c2, c3, 5, padding=2),  # 64 x 8 x 8
                activation3=activation_layer(chosen.activation),
                pool3=pooling_layer(chosen.pooling, average=True),  # 64 x 4 x 4
                flatten=nn.Flatten(),  # 1024
                fc10=nn.Linear(c3 * (crop // 8) ** 2, classes),  # 10
            )
        )
        # 250 times the recipe's 0.004 is the authors' weight decay of 1 in the last layer.
        self.decay_scale = {"conv1": 1.0, "conv2": 1.0, "conv3": 1.0, "fc10": 250.0}
        self.initial_std = {"conv1": 0.0001, "conv2": 0.01, "conv3": 0.01, "fc10": 0.01}
        self.initial_bias = dict.fromkeys(self.initial_std, 0.0)
