"""AlexNet with a smaller first convolution, for images of 8 to 96 pixels.

On a 28-pixel image an 11x11 kernel with stride 4 has only 5 positions. Here the first kernels are
5x5, with stride 1 for images below 48 pixels and stride 2 above. All other layers are the same.
"""

from ablations.models.alexnet import AlexNet, Stem
from ablations.techniques import Techniques


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
        techniques: One value of each technique; None means the paper's.
        crop: Height and width of the images, in pixels.
        width: Factor on the numbers of kernels and units.
    """
    stem = Stem(border=(2, 2, 2, 2), kernel=5, stride=1 if crop < 48 else 2)
    return AlexNet(classes, techniques, crop=crop, width=width, stem=stem)
