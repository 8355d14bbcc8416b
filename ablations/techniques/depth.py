"""Number of convolutions.

Claim:
    Removing any convolution gives worse results. Removing a middle one costs about 2 points of
    top-1 error, although according to the paper none has more than 1 % of the parameters.

    The network that is first trained on more images and then fine-tuned on the challenge's has a
    sixth convolution after the last pooling layer. Its top-1 and top-5 errors are 39.0 and 16.6 %,
    compared with 40.7 and 18.2 % for five convolutions without pre-training.

Source:
    §1, §6 and §7.

Variants:
    ``five``; ``no_conv2``, ``no_conv3``, ``no_conv4``, ``no_conv5``, ``no_conv3_conv4``: without
    these layers; ``six``: with a sixth convolution, see docs/pretraining.md.

Deviates:
    The paper does not say which layers it removed or how it connected the remaining ones. Here the
    activation and normalization of a convolution are removed with it, and the pooling layers stay.
    The remaining layers keep their kernels and their connections to one or both towers; only their
    numbers of input maps change. Without convolution 2, pooling layers 1 and 2 are adjacent.
    Without convolution 3, the only one that sees both towers, the towers first meet in the dense
    layers. Without convolution 5, the first dense layer has 1.5 times as many inputs, which adds
    30 % to the parameters.
    The paper gives only the position of the sixth convolution. Here it has the kernels, towers and
    activation of the fifth. Its biases start at zero, as in all layers that §5 does not list.
"""

from ablations.techniques import Depth


def convolutions(kind: Depth) -> tuple[str, ...]:
    """Return the names of the convolutions, in order.

    Paper: §3.5.

    Examples:
        >>> convolutions(Depth.no_conv4)
        ('conv1', 'conv2', 'conv3', 'conv5')
    """
    names = ("conv1", "conv2", "conv3", "conv4", "conv5")
    if kind is Depth.six:
        return (*names, "conv6")
    # The value names the removed layers: no_conv3_conv4.
    return tuple(name for name in names if name not in kind.value.split("_"))
