"""Biases that start at one.

Claim:
    Starting the biases of convolutions 2, 4 and 5 and of the hidden dense layers at one accelerates
    the early stages of learning, as it gives the ReLUs positive inputs.

Source:
    §5.

Variants:
    ``one``: those biases start at one, all others at zero. ``zero``: all start at zero.

Deviates:
    Nothing.
"""

from ablations.techniques import BiasInit

_ONE = frozenset({"conv2", "conv4", "conv5", "fc6", "fc7"})


def initial_bias(layer: str, kind: BiasInit) -> float:
    """Initial value of all biases of a layer.

    Paper: §5.

    Args:
        layer: Name of a layer of the printed network, ``conv1`` to ``fc8``.
        kind: Which rule.

    Examples:
        >>> initial_bias("conv2", BiasInit.one), initial_bias("conv3", BiasInit.one)
        (1.0, 0.0)
    """
    match kind:
        case BiasInit.one:
            return 1.0 if layer in _ONE else 0.0
        case BiasInit.zero:
            return 0.0
