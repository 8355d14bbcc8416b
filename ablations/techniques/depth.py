"""Five convolutions.

Claim:
    Removing any convolution gives worse results: any of the middle ones costs about 2 points of
    top-1 error, although each holds no more than about 1 % of the parameters.

    A sixth convolution over the last pooling layer serves networks that are trained on more images
    first and on the challenge's afterwards: 39.0 and 16.6 % top-1 and top-5 error against the 40.7
    and 18.2 % of five convolutions without that.

Source:
    §1, §6 and §7.

Variants:
    ``five``; ``no_conv2``, ``no_conv3``, ``no_conv4``, ``no_conv5``, ``no_conv3_conv4``: without
    the layers named; ``six``: with one more, see docs/pretraining.md.

Deviates:
    The paper does not say which layers it removed, nor how the others were joined. Here a
    convolution takes its activation and its normalization with it, the pooling layers stay, and
    the other layers keep their kernels and their connections to one or both towers and take the
    number of maps that they are given. Convolution 3 is the only one that sees both towers: without
    it they first meet in the dense layers. Without convolution 2 pooling layers 1 and 2 follow each
    other. Without convolution 5 the first dense layer has one and a half times as many inputs,
    which adds 30 % to the parameters. Of the sixth convolution the paper gives the place only. Here
    it is like the fifth: as many 3x3 kernels in the towers, and a ReLU; its biases start at zero,
    as those of all layers that §5 does not name.
"""

from ablations.techniques import Depth


def convolutions(kind: Depth) -> tuple[str, ...]:
    """Names of the convolutions, in order.

    Paper: §3.5.

    Examples:
        >>> convolutions(Depth.no_conv4)
        ('conv1', 'conv2', 'conv3', 'conv5')
    """
    names = ("conv1", "conv2", "conv3", "conv4", "conv5")
    if kind is Depth.six:
        return (*names, "conv6")
    return tuple(name for name in names if name not in kind.value.split("_"))
