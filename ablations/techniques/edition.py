"""The paper's text, or the authors' code of 2012 where it differs.

Claim:
    None of the paper's. The text and the network behind its figures differ in ways that it does not
    mention; with this technique their effect can be measured.

Source:
    §2 to §5 against the run named 145 in the source code that the Computer History Museum
    published in 2025 (``layers-145.cfg``, ``layer-params-145.cfg``, ``convdata_jpeg.py``).

Variants:
    ``printed``: the text. ``released``: the code, as far as :class:`Details` goes.

Deviates:
    Not carried over from the code: the first convolution frozen for the last 20 or so epochs and
    the color noise switched off for the last 25 or so, biases that keep their learning rate when
    that of the weights falls, and one crop and reflection for each 32 images. The text leaves open
    where the 3 pixels lie that 224 lacks for 55 positions of the first convolution: ``printed``
    puts them around the image as evenly as whole pixels allow.
"""

from dataclasses import dataclass

from ablations.techniques import Edition


@dataclass(frozen=True)
class Details:
    """Where the editions differ.

    Attributes:
        lrn_alpha: Weight of the summed squares in local response normalization (§3.3).
        after_conv1: Layers from convolution 1 to convolution 2, in order (§3.5).
        after_conv2: Layers from convolution 2 to pooling layer 2. The normalization within each
            map, of 5x5 pixels, is not in the text.
        middle_std: Standard deviation of the initial weights of convolutions 3 to 5 (§5).
        border: Zeros to the left, right, top and bottom of the 224-pixel image (§3.5).
        color_power: Color noise along a principal component is proportional to this power of
            its eigenvalue (§4.1).
        color_divisor: Images are divided by it after the noise.
        bias_lr_mult: Learning rate of biases over that of weights (§5).
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
    """What an edition says in each place where the two differ.

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
