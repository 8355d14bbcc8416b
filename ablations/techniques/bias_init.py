"""Initial biases of one.

Claim:
    Initializing the biases of convolutions 2, 4 and 5 and of the hidden dense layers to one
    accelerates the early stages of learning by providing the ReLUs with positive inputs.

Source:
    §5.

Variants:
    ``one``: these biases start at one, all others at zero. ``zero``: all biases start at zero.

Deviates:
    No deviation.
"""

from ablations.techniques import BiasInit

_ONE = frozenset({"conv2", "conv4", "conv5", "fc6", "fc7"})


def initial_bias(layer: str, kind: BiasInit) -> float:
    """Return the initial value of a layer's biases.

    Paper: §5.

    Args:
        layer: Name of a layer of AlexNet, ``conv1`` to ``fc8``.
        kind: The variant.

    Examples:
        >>> initial_bias("conv2", BiasInit.one), initial_bias("conv3", BiasInit.one)
        (1.0, 0.0)
    """
    match kind:
        case BiasInit.one:
            return 1.0 if layer in _ONE else 0.0
        case BiasInit.zero:
            return 0.0
