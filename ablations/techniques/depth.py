"""Five convolutions.

Claim:
    Removing any convolution gives worse results: any of the middle ones costs about 2 points of
    top-1 error, although each holds no more than about 1 % of the parameters.

Source:
    §1 and §7.

Variants:
    ``five``; ``no_conv3``, ``no_conv4``, ``no_conv3_conv4``: without the layers named.

Deviates:
    The paper does not say which layers it removed, nor how the others were joined. Here the other
    layers keep their kernels and their connections to one or both towers, and take the number of
    maps that they are given. Convolution 3 is the only one that sees both towers: without it they
    first meet in the dense layers. That is part of what ``no_conv3`` measures.
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
        case Depth.no_conv3:
            return ("conv1", "conv2", "conv4", "conv5")
        case Depth.no_conv4:
            return ("conv1", "conv2", "conv3", "conv5")
        case Depth.no_conv3_conv4:
            return ("conv1", "conv2", "conv5")
