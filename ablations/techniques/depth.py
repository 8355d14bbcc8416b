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
    ``five``; ``no_conv3``, ``no_conv4``, ``no_conv3_conv4``: without the layers named; ``six``:
    with one more, see docs/pretraining.md.

Deviates:
    The paper does not say which layers it removed, nor how the others were joined. Here the other
    layers keep their kernels and their connections to one or both towers, and take the number of
    maps that they are given. Convolution 3 is the only one that sees both towers: without it they
    first meet in the dense layers. That is part of what ``no_conv3`` measures. Of the sixth
    convolution the paper gives the place only. Here it is like the fifth: as many 3x3 kernels in
    the towers, and a ReLU; its biases start at zero, as those of all layers that §5 does not name.
"""

from ablations.techniques import Depth


def convolutions(kind: Depth) -> tuple[str, ...]:
    """Names of the convolutions, in order.

    Paper: §3.5.

    Examples:
        >>> convolutions(Depth.no_conv4)
        ('conv1', 'conv2', 'conv3', 'conv5')
    """
    match kind:
        case Depth.five:
            return ("conv1", "conv2", "conv3", "conv4", "conv5")
        case Depth.six:
            return ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6")
        case Depth.no_conv3:
            return ("conv1", "conv2", "conv4", "conv5")
        case Depth.no_conv4:
            return ("conv1", "conv2", "conv3", "conv5")
        case Depth.no_conv3_conv4:
            return ("conv1", "conv2", "conv5")
