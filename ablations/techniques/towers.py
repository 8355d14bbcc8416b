"""Two towers, one for each GPU.

Claim:
    Compared with one tower that has half the kernels in each convolution, two towers lower the
    top-1 and top-5 errors by 1.7 and 1.2 points and train slightly faster. In every run, regardless
    of the random weights, the first-layer kernels of one tower become color-specific and those of
    the other color-agnostic.

Source:
    §3.2 and its footnote 2, §6.1, Figures 2 and 3.

Variants:
    ``two``: convolutions 2, 4 and 5 see only the maps of their own tower; convolution 3 and the
    dense layers see both. ``half``: one tower. As in the paper's footnote and the authors' run, its
    last convolution and dense layers are not halved, so that 59.8 of the 61.0 million parameters
    remain. ``merged``: the kernels of both towers without groups; every convolution sees every map.

Deviates:
    The claim about speed is not tested, because both towers run on one device as grouped
    convolutions. The paper shows the specialization of the towers in a picture; here
    :func:`tower_colors` measures it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablations.techniques import Towers


def groups(kind: Towers) -> int:
    """Return the number of groups of convolutions 2, 4 and 5 and of the normalizations.

    Paper: §3.2.

    Examples:
        >>> groups(Towers.two), groups(Towers.half), groups(Towers.merged)
        (2, 1, 1)
    """
    return 2 if kind is Towers.two else 1


def kernels_left(kind: Towers, both: int) -> int:
    """Return the number of kernels of convolution 1, 2, 3 or 4.

    Paper: §3.2, footnote 2.

    Args:
        kind: The variant.
        both: Number of kernels in both towers together.

    Examples:
        >>> [kernels_left(kind, 384) for kind in Towers]
        [384, 192, 384]
    """
    return both // 2 if kind is Towers.half else both


def colorfulness(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of each kernel's energy that gray images cannot excite.

    Paper: §6.1, Figure 3.

    Args:
        kernels: Shape (K, channels, H, W).

    Returns:
        Shape (K,): 0 for kernels with equal channels, 1 for kernels whose channels sum to zero.

    Examples:
        >>> gray, red_green = np.ones((3, 1, 1)), np.array([1.0, -1.0, 0.0]).reshape(3, 1, 1)
        >>> colorfulness(np.stack([gray, red_green]))
        array([0., 1.])
    """
    gray = kernels.mean(1, keepdims=True)
    color = np.square(kernels - gray).sum((1, 2, 3))
    return color / np.maximum(np.square(kernels).sum((1, 2, 3)), 1e-30)


def tower_colors(kernels: NDArray[Any]) -> list[float]:
    """Return the mean colorfulness of the first and the second half of the first-layer kernels.

    Paper: §6.1. With two towers the halves are the towers.

    Args:
        kernels: First-layer kernels, those of the first tower first, shape (K, channels, H, W).

    Examples:
        >>> gray, red_green = np.ones((3, 1, 1)), np.array([1.0, -1.0, 0.0]).reshape(3, 1, 1)
        >>> tower_colors(np.stack([gray, gray, gray, red_green]))
        [0.0, 0.5]
    """
    return [float(half.mean()) for half in np.array_split(colorfulness(kernels.astype(float)), 2)]
