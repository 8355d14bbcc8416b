"""Differences between the paper's text and the authors' code of 2012.

Claim:
    Not a claim of the paper. The network behind the paper's figures differs from the text in ways
    that the text does not mention. This technique measures their effect.

Source:
    §2 to §5, compared with the run named 145 in the source code that the Computer History Museum
    published in 2025 (``layers-145.cfg``, ``layer-params-145.cfg``, ``convdata_jpeg.py``).

Variants:
    ``printed``: the text. ``released``: the code, for the settings in :class:`Details`.

Deviates:
    Not reproduced from the code: the first convolution is frozen for about the last 20 epochs and
    the color noise is off for about the last 25, the learning rate of biases stays high when that
    of the weights falls, and 32 consecutive images share one crop and reflection.
    For 55 positions of the first convolution a 224-pixel image needs 3 more pixels, and the text
    does not say where. ``printed`` pads both sides as evenly as possible.
"""

from dataclasses import dataclass

from ablations.techniques import Edition


@dataclass(frozen=True)
class Details:
    """Settings in which the editions differ.

    Attributes:
        lrn_alpha: Weight of the summed squares in local response normalization (§3.3).
        after_conv1: Layers between convolutions 1 and 2, in order (§3.5).
        after_conv2: Layers between convolution 2 and pooling layer 2. The normalization within
            each map (5x5 pixels) is not in the text.
        middle_std: Standard deviation of the initial weights of convolutions 3 to 5 (§5).
        border: Zero padding of the 224-pixel image: left, right, top, bottom (§3.5).
        color_power: Exponent of the eigenvalue in the color noise (§4.1).
        color_divisor: Training images are divided by it after the color noise.
        bias_lr_mult: Learning rate of biases divided by that of weights (§5).
    """

    lrn_alpha: float
    after_conv1: tuple[str, ...]
    after_conv2: tuple[str, ...]
    middle_std: float
    border: tuple[int, int, int, int]
    color_power: float
    color_divisor: float
    bias_lr_mult: float


def details(edition: Edition) -> Details:
    """Return the settings of an edition.

    Examples:
        >>> details(Edition.printed).bias_lr_mult, details(Edition.released).bias_lr_mult
        (1.0, 2.0)
    """
    match edition:
        case Edition.printed:
            return Details(
                lrn_alpha=1e-4,
                after_conv1=("activation", "norm", "pool"),
                after_conv2=("activation", "norm"),
                middle_std=0.01,
                border=(2, 1, 2, 1),
                color_power=1.0,
                color_divisor=1.0,
                bias_lr_mult=1.0,
            )
        case Edition.released:
            return Details(
                lrn_alpha=1e-4 / 5,
                after_conv1=("norm", "pool", "activation"),
                after_conv2=("activation", "norm", "within_map_norm"),
                middle_std=0.03,
                border=(0, 3, 0, 3),
                color_power=0.5,
                color_divisor=1.1,
                bias_lr_mult=2.0,
            )
