"""The network of Figure 2: five convolutions, three dense layers, 60,965,224 parameters."""

from collections import OrderedDict
from dataclasses import dataclass

from torch import nn

from ablations.models.stack import Stack
from ablations.techniques import Norm, Techniques
from ablations.techniques.activation import activation_layer
from ablations.techniques.bias_init import initial_bias
from ablations.techniques.depth import convolutions
from ablations.techniques.dropout import dropout_layer
from ablations.techniques.edition import details
from ablations.techniques.norm import ResponseNorm, WithinMapResponseNorm, norm_layer
from ablations.techniques.pooling import pooling_layer
from ablations.techniques.towers import groups, kernels_left


@dataclass(frozen=True)
class Stem:
    """Geometry of the first convolution, in pixels.

    Attributes:
        border: Zero padding of the image: left, right, top, bottom.
        kernel: Height and width of the kernels.
        stride: Stride of the kernels.
    """

    border: tuple[int, int, int, int]
    kernel: int
    stride: int


class AlexNet(nn.Sequential):
    """AlexNet and its variants.

    Paper: §3.5, Figure 2.
    Deviates: the outputs are logits; the softmax is part of the loss. The initial weights are
        torch's defaults; :func:`ablations.models.build` uses the paper's.

    Args:
        classes: Number of outputs.
        techniques: One value of each technique; None means the paper's.
        crop: Height and width of the images, in pixels.
        width: Factor on the numbers of kernels and units; 1 is the paper's network.
        stem: Geometry of the first convolution; None means the paper's, with the border of the
            edition.

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
        techniques: Techniques | None = None,
        *,
        crop: int = 224,
        width: float = 1.0,
        stem: Stem | None = None,
    ) -> None:
        chosen = techniques or Techniques()
        edition = details(chosen.edition)
        present = convolutions(chosen.depth)
        parts = groups(chosen.towers)
        x = Stack(crop, width)

        # The authors' run without LRN also lacks the normalization within each map.
        after_conv2 = edition.after_conv2 if chosen.norm is Norm.lrn else ("activation", "norm")

        def norm() -> nn.Module:
            response_norm = ResponseNorm(alpha=edition.lrn_alpha, towers=parts)
            return norm_layer(chosen.norm, x.maps, response_norm)

        make = {
            "activation": lambda: activation_layer(chosen.activation),
            "norm": norm,
            "within_map_norm": lambda: WithinMapResponseNorm(size=5, alpha=1e-3),
            "pool": lambda: pooling_layer(chosen.pooling),
            "dropout": lambda: dropout_layer(chosen.dropout),
        }

        def add(number: str, *kinds: str) -> None:
            for kind in kinds:
                x.add(kind + number, make[kind](), size=x.size // 2 if kind == "pool" else None)

        def conv(
            name: str,
            kernels: int,
            kernel: int,
            groups: int = 1,
            *,
            then: tuple[str, ...] = ("activation",),
            number: str = "",
        ) -> None:
            """Add a convolution and its following layers, unless ``depth`` removes it."""
            if name in present:
                x.conv(name, kernels, kernel, padding=kernel // 2, groups=groups)
                add(number or name[-1], *then)

        def dense(name: str, units: int) -> None:
            x.linear(name, x.scaled(units))
            add(name[-1], "activation", "dropout")

        def tower(printed: int) -> int:
            """Return the number of kernels, half of them if there is one tower."""
            return kernels_left(chosen.towers, x.scaled(printed))

        # Figure 2, layer by layer: number of kernels, kernel size, and groups (two for two towers).
        # The comments give the shape after each line for the paper's network.
        # fmt: off
        stem = stem or Stem(edition.border, kernel=11, stride=4)              #   3 x 224 x 224
        x.border(stem.border)                                                 #   3 x 227 x 227
        x.conv("conv1", tower(96), stem.kernel, stride=stem.stride)           #  96 x 55 x 55
        add("1", *edition.after_conv1)                                        #  96 x 27 x 27
        conv("conv2", tower(256), 5, parts, then=after_conv2)                 # 256 x 27 x 27
        add("2", "pool")                                                      # 256 x 13 x 13
        conv("conv3", tower(384), 3)  # sees both towers (§3.2)               # 384 x 13 x 13
        conv("conv4", tower(384), 3, parts)                                   # 384 x 13 x 13
        conv("conv5", x.scaled(256), 3, parts)                                # 256 x 13 x 13
        add("5", "pool")                                                      # 256 x 6 x 6
        conv("conv6", x.scaled(256), 3, parts, number="_conv6")  # §6, depth=six only
        x.flatten()                                                           # 9216
        dense("fc6", 4096)                                                    # 4096
        dense("fc7", 4096)                                                    # 4096
        x.linear("fc8", classes)                                              # 1000
        # fmt: on

        super().__init__(OrderedDict(x.layers))
        weighted = (*present, "fc6", "fc7", "fc8")
        self.decay_scale = dict.fromkeys(weighted, 1.0)
        # §5: 0.01 in all layers; the authors' code has another value in convolutions 3 to 5.
        self.initial_std = dict.fromkeys(weighted, 0.01) | {
            name: edition.middle_std for name in present if name not in ("conv1", "conv2")
        }
        self.initial_bias = {name: initial_bias(name, chosen.bias_init) for name in weighted}
