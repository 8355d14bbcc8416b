"""The techniques of the paper as enumerations, and the dataclass that holds one choice of each.

The file of a technique is named after its key (``pooling`` -> ``techniques/pooling.py``) and opens
with its card. This module imports no torch: the command line validates every key within a second.
"""

from dataclasses import dataclass
from enum import Enum


class Activation(Enum):
    """Nonlinearity of every hidden layer (§3.1)."""

    relu = "relu"
    tanh = "tanh"
    sigmoid = "sigmoid"


class Pooling(Enum):
    """Max pooling windows: 3x3 every 2 pixels, or 2x2 every 2 pixels (§3.4)."""

    overlap = "overlap"
    nonoverlap = "nonoverlap"


class Norm(Enum):
    """Normalization after convolutions 1 and 2 (§3.3)."""

    lrn = "lrn"
    none = "none"
    batchnorm = "batchnorm"


class Dropout(Enum):
    """Dropout with p = 0.5 on the outputs of the two hidden dense layers (§4.2)."""

    on = "on"
    off = "off"


class Augmentation(Enum):
    """Random crops and reflections, and PCA color noise (§4.1)."""

    full = "full"
    crop_flip = "crop_flip"
    color = "color"
    none = "none"


class Towers(Enum):
    """The two-GPU layout: two towers, one of them alone, or all kernels connected (§3.2)."""

    two = "two"
    half = "half"
    merged = "merged"


class Depth(Enum):
    """Five convolutions, one or two of them removed (§1, §7), or a sixth (§6)."""

    five = "five"
    six = "six"
    no_conv2 = "no_conv2"
    no_conv3 = "no_conv3"
    no_conv4 = "no_conv4"
    no_conv5 = "no_conv5"
    no_conv3_conv4 = "no_conv3_conv4"


class BiasInit(Enum):
    """Initial bias of convolutions 2, 4, 5 and of the hidden dense layers (§5)."""

    one = "one"
    zero = "zero"


class Evaluation(Enum):
    """The headline test error: mean over ten views, or the center crop (§4.1)."""

    ten_view = "ten_view"
    center = "center"


class Edition(Enum):
    """The paper's text, or the authors' 2012 code where the two differ."""

    printed = "printed"
    released = "released"


@dataclass(frozen=True)
class Techniques:
    """One choice of every technique; the defaults are the paper's."""

    activation: Activation = Activation.relu
    pooling: Pooling = Pooling.overlap
    norm: Norm = Norm.lrn
    dropout: Dropout = Dropout.on
    augmentation: Augmentation = Augmentation.full
    towers: Towers = Towers.two
    depth: Depth = Depth.five
    bias_init: BiasInit = BiasInit.one
    evaluation: Evaluation = Evaluation.ten_view
    edition: Edition = Edition.printed
