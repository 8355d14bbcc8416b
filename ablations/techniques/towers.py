"""The network in two towers, one for each GPU.

Claim:
    Two towers lower the top-1 and top-5 error by 1.7 and 1.2 points against one tower with half the
    kernels in each convolution, and train slightly faster. In every run, whatever its random
    weights, the first kernels of one tower turn to color and those of the other do not.

Source:
    §3.2 and its footnote 2, §6.1, Figures 2 and 3.

Variants:
    ``two``: convolutions 2, 4 and 5 see the maps of their own half only; convolution 3 and the
    dense layers see both. ``half``: one tower alone. As in the paper's footnote and the authors'
    run, its last convolution and dense layers stay whole, or most of its parameters would go: 59.8
    million are left of 61.0. ``merged``: all kernels of both towers, every convolution sees every
    map.

Deviates:
    The claim about speed is not tested: both towers run on one device, as grouped convolutions.
    That the towers specialize is said of a picture; here it is a number, see :func:`tower_colors`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablations.techniques import Towers


def groups(kind: Towers) -> int:
    """Parts that the maps of convolutions 2, 4, 5 and of the normalizations are cut into.

    Paper: §3.2.

    Examples:
        >>> groups(Towers.two), groups(Towers.half), groups(Towers.merged)
        (2, 1, 1)
    """
    return 2 if kind is Towers.two else 1


def kernels_left(kind: Towers, both: int) -> int:
    """Kernels of convolutions 1 to 4 that are left of those of both towers.

    Paper: §3.2, footnote 2.

    Examples:
        >>> [kernels_left(kind, 384) for kind in Towers]
        [384, 192, 384]
    """
    return both // 2 if kind is Towers.half else both


def colorfulness(kernels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each kernel's energy that a gray image cannot excite.

    Paper: §6.1, Figure 3.

    Args:
        kernels: Shape (K, channels, H, W).

    Returns:
        Shape (K,), from 0 for kernels whose channels are equal to 1 for channels that cancel.

    Examples:
        >>> gray, red_green = np.ones((3, 1, 1)), np.array([1.0, -1.0, 0.0]).reshape(3, 1, 1)
        >>> colorfulness(np.stack([gray, red_green]))
        array([0., 1.])
    """
    gray = kernels.mean(1, keepdims=True)
    color = np.square(kernels - gray).sum((1, 2, 3))
    return color / np.maximum(np.square(kernels).sum((1, 2, 3)), 1e-30)


def tower_colors(kernels: NDArray[Any]) -> list[float]:
    """Mean colorfulness of the first kernels of either tower, or of their halves without towers.

    Paper: §6.1.

    Args:
        kernels: First kernels of both towers, those of the first one first, shape
            (K, channels, H, W).

    Examples:
        >>> gray, red_green = np.ones((3, 1, 1)), np.array([1.0, -1.0, 0.0]).reshape(3, 1, 1)
        >>> tower_colors(np.stack([gray, gray, gray, red_green]))
        [0.0, 0.5]
    """
    return [float(half.mean()) for half in np.array_split(colorfulness(kernels.astype(float)), 2)]
