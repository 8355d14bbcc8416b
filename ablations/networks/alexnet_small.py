"""The network of Figure 2 behind a smaller first convolution, for images of 8 to 96 pixels.

An 11x11 kernel every 4 pixels would leave 5 positions on a 28-pixel image. Here the first kernels
are 5x5, every pixel below 48 pixels and every second pixel from there on, so that the layers after
it see maps of 2 to 6 pixels where the printed network sees 6. All else is the printed network.
"""

from ablations.config import Run
from ablations.networks import alexnet
from ablations.networks.alexnet import AlexNet, Stem


def small_stem(crop: int) -> Stem:
    """The first convolution for images of ``crop`` pixels.

    Examples:
        >>> small_stem(28).outputs(28), small_stem(64).outputs(64)
        (28, 32)
    """
    return Stem(border=(2, 2, 2, 2), kernel=5, stride=1 if crop < 48 else 2)


def build(run: Run, classes: int) -> AlexNet:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    return alexnet.build(run, classes, small_stem(run.data.crop))
