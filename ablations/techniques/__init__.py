"""Enumerations of the paper's techniques, and a dataclass with one value of each.

Each technique has a file named after its key (``pooling`` -> ``techniques/pooling.py``). The
docstring of that file is the technique's card. This module does not import torch, so that the
command line can validate keys quickly.
"""

from dataclasses import dataclass
from enum import Enum


class Activation(Enum):
    """Nonlinearity of every hidden layer (§3.1)."""

    relu = "relu"
    tanh = "tanh"
    sigmoid = "sigmoid"


class Pooling(Enum):
    """Size of the pooling windows: 3x3 or 2x2, both with stride 2 (§3.4)."""

    overlap = "overlap"
    nonoverlap = "nonoverlap"


class Norm(Enum):
    """Normalization after convolutions 1 and 2 (§3.3)."""

    lrn = "lrn"
    none = "none"
    batchnorm = "batchnorm"


class Dropout(Enum):
    """Dropout with p = 0.5 after the two hidden dense layers (§4.2)."""

    on = "on"
    off = "off"

    @classmethod
    def _missing_(cls, value: object) -> "Dropout | None":
        """Accept a truth value, as which YAML reads ``on`` and ``off`` without quotes."""
        return {True: cls.on, False: cls.off}.get(value) if isinstance(value, bool) else None


class Augmentation(Enum):
    """Random crops, reflections, and PCA color noise (§4.1)."""

    full = "full"
    crop_flip = "crop_flip"
    color = "color"
    none = "none"


class Towers(Enum):
    """The two-GPU layout: two towers, one tower, or the kernels of both without groups (§3.2)."""

    two = "two"
    half = "half"
    merged = "merged"


class Depth(Enum):
    """Number of convolutions: five, fewer (§1, §7), or six (§6)."""

    five = "five"
    six = "six"
    no_conv2 = "no_conv2"
    no_conv3 = "no_conv3"
    no_conv4 = "no_conv4"
    no_conv5 = "no_conv5"
    no_conv3_conv4 = "no_conv3_conv4"


class BiasInit(Enum):
    """Initial bias of convolutions 2, 4 and 5 and of the hidden dense layers (§5)."""

    one = "one"
    zero = "zero"


class Evaluation(Enum):
    """Views of the reported test error: average of ten views, or the center crop (§4.1)."""

    ten_view = "ten_view"
    center = "center"


class Edition(Enum):
    """Which source to follow where they differ: the paper's text or the authors' 2012 code."""

    printed = "printed"
    released = "released"


@dataclass(frozen=True)
class Techniques:
    """One value of each technique; the defaults are the paper's."""

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
