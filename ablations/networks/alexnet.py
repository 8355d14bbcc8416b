"""The network of Figure 2: five convolutions, three dense layers, 60,965,224 parameters."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from ablations.config import Run
from ablations.techniques import (
    Activation,
    BiasInit,
    Depth,
    Dropout,
    Edition,
    Norm,
    Pooling,
    Towers,
)
from ablations.techniques.activation import activation_layer
from ablations.techniques.bias_init import initial_bias
from ablations.techniques.depth import convolutions
from ablations.techniques.dropout import dropout_layer
from ablations.techniques.edition import details
from ablations.techniques.norm import ResponseNorm, WithinMapResponseNorm, norm_layer
from ablations.techniques.pooling import pooling_layer
from ablations.techniques.towers import layout


@dataclass(frozen=True)
class Stem:
    """How the first convolution meets the image; lengths in pixels.

    Attributes:
        border: Zeros to the left, right, top and bottom of the image.
        kernel: Height and width of the kernels.
        stride: Between neighboring positions of the kernels.
    """

    border: tuple[int, int, int, int]
    kernel: int
    stride: int

    def outputs(self, crop: int) -> int:
        """Positions of the kernels along each side of an image of ``crop`` pixels."""
        left, right, _, _ = self.border
        return (left + crop + right - self.kernel) // self.stride + 1


class AlexNet(nn.Sequential):
    """The printed network and every variant of it.

    Paper: §3.5, Figure 2.
    Deviates: the outputs are logits; the softmax is part of the loss. Weights start as torch's
        layers draw them; :func:`ablations.networks.build` draws the paper's.

    Args:
        classes: Number of outputs.
        crop: Height and width of the images, in pixels.
        stem: How the first convolution meets the image; none is the paper's, with the border of
            ``edition``.
        width: Factor on the number of kernels and units; 1 is the printed network.
        activation: See :mod:`ablations.techniques.activation`; the other techniques likewise.
        pooling: Pooling windows.
        norm: Normalization after convolutions 1 and 2.
        dropout: Dropout after both hidden dense layers.
        towers: Two towers, one of them, or all kernels connected.
        depth: Which convolutions there are.
        bias_init: Recorded in ``initial_bias`` for :mod:`ablations.networks.initialization`.
        edition: The paper's text, or the authors' code.

    Examples:
        >>> import torch
        >>> with torch.device("meta"):
        ...     network = AlexNet()
        >>> sum(parameter.numel() for parameter in network.parameters())
        60965224
    """

    def __init__(
        self,
        classes: int = 1000,
        *,
        crop: int = 224,
        stem: Stem | None = None,
        width: float = 1.0,
        activation: Activation = Activation.relu,
        pooling: Pooling = Pooling.overlap,
        norm: Norm = Norm.lrn,
        dropout: Dropout = Dropout.on,
        towers: Towers = Towers.two,
        depth: Depth = Depth.five,
        bias_init: BiasInit = BiasInit.one,
        edition: Edition = Edition.printed,
    ) -> None:
        spec = details(edition)
        stem = stem or Stem(spec.border, kernel=11, stride=4)
        sizes = layout(towers, width)
        groups, units, (c1, c2, c3, c4, c5) = sizes.groups, sizes.units, sizes.kernels
        present = convolutions(depth)

        def activate() -> nn.Module:
            return activation_layer(activation)

        def pool() -> nn.Module:
            return pooling_layer(pooling)

        def normalize(channels: int) -> nn.Module:
            response_norm = ResponseNorm(alpha=spec.lrn_alpha, towers=groups)
            return norm_layer(norm, channels, response_norm)

        layers: OrderedDict[str, nn.Module] = OrderedDict()

        layers["border"] = nn.ZeroPad2d(stem.border)
        layers["conv1"] = nn.Conv2d(3, c1, stem.kernel, stem.stride)
        if spec.norm1_first:
            layers["norm1"] = normalize(c1)
            layers["pool1"] = pool()
            layers["activation1"] = activate()
        else:
            layers["activation1"] = activate()
            layers["norm1"] = normalize(c1)
            layers["pool1"] = pool()

        channels = c1

        if "conv2" in present:
            layers["conv2"] = nn.Conv2d(channels, c2, 5, padding=2, groups=groups)
            layers["activation2"] = activate()
            layers["norm2"] = normalize(c2)
            if spec.norm2_within_map and norm is Norm.lrn:
                layers["within_map_norm2"] = WithinMapResponseNorm(size=5, alpha=1e-3)
            channels = c2
        layers["pool2"] = pool()

        if "conv3" in present:
            # §3.2: the one convolution that takes its input from both towers.
            layers["conv3"] = nn.Conv2d(channels, c3, 3, padding=1)
            layers["activation3"] = activate()
            channels = c3
        if "conv4" in present:
            layers["conv4"] = nn.Conv2d(channels, c4, 3, padding=1, groups=groups)
            layers["activation4"] = activate()
            channels = c4

        if "conv5" in present:
            layers["conv5"] = nn.Conv2d(channels, c5, 3, padding=1, groups=groups)
            layers["activation5"] = activate()
            channels = c5
        layers["pool5"] = pool()

        if "conv6" in present:
            # §6: over the last pooling layer, in networks that are trained on more images first.
            layers["conv6"] = nn.Conv2d(c5, c5, 3, padding=1, groups=groups)
            layers["conv6_activation"] = activate()
        layers["flatten"] = nn.Flatten()

        # Three pooling layers halve the maps three times.
        layers["fc6"] = nn.Linear(channels * (stem.outputs(crop) // 8) ** 2, units)
        layers["activation6"] = activate()
        layers["dropout6"] = dropout_layer(dropout, units)

        layers["fc7"] = nn.Linear(units, units)
        layers["activation7"] = activate()
        layers["dropout7"] = dropout_layer(dropout, units)

        layers["fc8"] = nn.Linear(units, classes)

        super().__init__(layers)
        weighted = (*present, "fc6", "fc7", "fc8")
        self.decay_scale = dict.fromkeys(weighted, 1.0)
        # §5: 0.01 in each layer.
        self.initial_std = dict.fromkeys(weighted, 0.01) | {
            name: spec.middle_std for name in present if name not in ("conv1", "conv2")
        }
        self.initial_bias = {name: initial_bias(name, bias_init) for name in weighted}


def build(run: Run, classes: int, stem: Stem | None = None) -> AlexNet:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    techniques = run.techniques
    return AlexNet(
        classes,
        crop=run.data.crop,
        stem=stem,
        width=run.width,
        activation=techniques.activation,
        pooling=techniques.pooling,
        norm=techniques.norm,
        dropout=techniques.dropout,
        towers=techniques.towers,
        depth=techniques.depth,
        bias_init=techniques.bias_init,
        edition=techniques.edition,
    )
