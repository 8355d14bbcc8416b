"""The network of Figure 2 behind a smaller first convolution, for images of 8 to 96 pixels.

An 11x11 kernel every 4 pixels would leave 5 positions on a 28-pixel image. Here the first kernels
are 5x5, every pixel below 48 pixels and every second pixel from there on, so that the layers after
it see maps of 2 to 6 pixels where the printed network sees 6. All else is the printed network.
"""

from ablations.models.alexnet import AlexNet, Stem
from ablations.techniques import Techniques


def small_stem(crop: int) -> Stem:
    """Return the first convolution for images of ``crop`` pixels.

    Examples:
        >>> small_stem(28).stride, small_stem(64).stride
        (1, 2)
    """
    return Stem(border=(2, 2, 2, 2), kernel=5, stride=1 if crop < 48 else 2)


def alexnet_small(
    classes: int = 10,
    techniques: Techniques | None = None,
    *,
    crop: int = 28,
    width: float = 1.0,
) -> AlexNet:
    """Build the network.

    Args:
        classes: Number of outputs.
        techniques: One choice of each technique; None takes the paper's.
        crop: Height and width of the images, in pixels.
        width: Factor on the number of kernels and units.
    """
    return AlexNet(classes, techniques, crop=crop, width=width, stem=small_stem(crop))
