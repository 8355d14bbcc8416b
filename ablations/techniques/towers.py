"""The network in two towers, one for each GPU.

Claim:
    Two towers lower the top-1 and top-5 error by 1.7 and 1.2 points against one tower with half the
    kernels in each convolution, and train slightly faster.

Source:
    §3.2 and its footnote 2, Figure 2.

Variants:
    ``two``: convolutions 2, 4 and 5 see the maps of their own half only; convolution 3 and the
    dense layers see both. ``half``: one tower alone. As in the paper's footnote and the authors'
    run, its last convolution and dense layers stay whole, or most of its parameters would go: 59.8
    million are left of 61.0. ``merged``: all kernels of both towers, every convolution sees every
    map.

Deviates:
    The claim about speed is not tested: both towers run on one device, as grouped convolutions.
"""

from dataclasses import dataclass

from ablations.techniques import Towers


@dataclass(frozen=True)
class Layout:
    """Numbers of kernels and units.

    Attributes:
        groups: Parts that the maps of convolutions 2, 4, 5 and of the normalisations are cut into.
        kernels: Kernels of convolutions 1 to 5.
        units: Units of each hidden dense layer.
    """

    groups: int
    kernels: tuple[int, int, int, int, int]
    units: int


def layout(kind: Towers, width: float = 1.0) -> Layout:
    """Numbers of kernels and units of a network.

    Paper: §3.5, Figure 2.

    Args:
        kind: Which towers.
        width: Factor on all numbers; 1 is the printed network.

    Examples:
        >>> layout(Towers.half).kernels
        (48, 128, 192, 192, 256)
        >>> layout(Towers.two, width=0.25)
        Layout(groups=2, kernels=(24, 64, 96, 96, 64), units=1024)
    """
    # Rounded to even numbers, so that two towers share them equally.
    c1, c2, c3, c4, c5, units = (2 * round(n * width / 2) for n in (96, 256, 384, 384, 256, 4096))
    match kind:
        case Towers.two:
            return Layout(2, (c1, c2, c3, c4, c5), units)
        case Towers.half:
            return Layout(1, (c1 // 2, c2 // 2, c3 // 2, c4 // 2, c5), units)
        case Towers.merged:
            return Layout(1, (c1, c2, c3, c4, c5), units)
