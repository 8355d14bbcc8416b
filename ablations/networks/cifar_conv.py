"""The CIFAR-10 network of cuda-convnet with three convolutions: 18 % error, 19 % without LRN.

``layers-18pct.cfg`` and ``layers-19pct.cfg``: the one pair of networks among the authors' examples
that differs in little but the normalization, which runs within each map here. They also differ in
the weight decay of the last layer, 1 and 3; both arms take 1. ``recipe.weight_decay=0.004`` is the
authors'. Either pooling layer with a mean follows its nonlinearity; the first takes the maximum and
precedes it, which gives the same.
"""

from collections import OrderedDict

from torch import nn

from ablations.config import Run
from ablations.techniques import Activation, Norm, Pooling
from ablations.techniques.activation import activation_layer
from ablations.techniques.norm import WithinMapResponseNorm, norm_layer
from ablations.techniques.pooling import pooling_layer


class CifarConv(nn.Sequential):
    """Three convolutions and one dense layer.

    Args:
        classes: Number of outputs.
        crop: Height and width of the images, in pixels; the authors' is 32.
        width: Factor on the number of kernels.
        activation: Nonlinearity.
        pooling: Pooling windows.
        norm: Normalization before convolutions 2 and 3.

    Examples:
        >>> sum(parameter.numel() for parameter in CifarConv().parameters())
        89578
    """

    def __init__(
        self,
        classes: int = 10,
        *,
        crop: int = 32,
        width: float = 1.0,
        activation: Activation = Activation.relu,
        pooling: Pooling = Pooling.overlap,
        norm: Norm = Norm.lrn,
    ) -> None:
        c1, c2, c3 = (round(n * width) for n in (32, 32, 64))

        def normalize(channels: int) -> nn.Module:
            return norm_layer(norm, channels, WithinMapResponseNorm(size=3, alpha=5e-5))

        super().__init__(
            OrderedDict(
                conv1=nn.Conv2d(3, c1, 5, padding=2),
                pool1=pooling_layer(pooling),
                activation1=activation_layer(activation),
                norm1=normalize(c1),
                conv2=nn.Conv2d(c1, c2, 5, padding=2),
                activation2=activation_layer(activation),
                pool2=pooling_layer(pooling, average=True),
                norm2=normalize(c2),
                conv3=nn.Conv2d(c2, c3, 5, padding=2),
                activation3=activation_layer(activation),
                pool3=pooling_layer(pooling, average=True),
                flatten=nn.Flatten(),
                fc10=nn.Linear(c3 * (crop // 8) ** 2, classes),
            )
        )
        self.decay_scale = {"conv1": 1.0, "conv2": 1.0, "conv3": 1.0, "fc10": 250.0}
        self.initial_std = {"conv1": 0.0001, "conv2": 0.01, "conv3": 0.01, "fc10": 0.01}
        self.initial_bias = dict.fromkeys(self.initial_std, 0.0)


def build(run: Run, classes: int) -> CifarConv:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    return CifarConv(
        classes,
        crop=run.data.crop,
        width=run.width,
        activation=run.techniques.activation,
        pooling=run.techniques.pooling,
        norm=run.techniques.norm,
    )
