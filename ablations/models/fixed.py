"""Base class and initial weights of the fixed networks: those of five tutorials, and LeNet-5.

Their techniques, input sizes and initial weights cannot be changed (:func:`ablations.models.check`
reports an error). Only the width of the tutorials' networks may differ; 1 is the tutorial's. The
tutorials do not specify optimizer, augmentation or input scale. These are the suite's, except that
``keras_resized`` takes raw pixels. For LeNet-5 see :mod:`ablations.models.lenet5`.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Collection

from torch import Tensor, nn

from ablations.techniques.norm import BatchNorm2d

Bounds = tuple[float | Tensor, float]


class Fixed(nn.Sequential):
    """A network with fixed weight decay factors and initial weights.

    Keras's ``l2(x)`` adds x times the sum of squares to the loss, and therefore 2 * x * w to the
    gradient. ``decay_scale`` is 2 in layers with ``l2`` and 0 in all others, so that
    ``recipe.weight_decay`` is the tutorial's x.

    Args:
        layers: Layers by name.
        bounds: Function from a layer to the bounds of its initial weights and biases. Initial
            values are uniform between minus the bound and the bound.
        l2: Names of the layers with ``l2``; all others have no weight decay.
    """

    def __init__(
        self,
        layers: dict[str, nn.Module],
        bounds: Callable[[nn.Module], Bounds],
        *,
        l2: Collection[str] = (),
    ) -> None:
        super().__init__(OrderedDict(layers))
        # For batch normalization torch and Keras have the same initial values.
        weighted = [
            name
            for name, layer in layers.items()
            if hasattr(layer, "weight") and not isinstance(layer, BatchNorm2d)
        ]
        self.decay_scale = {name: 2.0 * (name in l2) for name in weighted}
        self.initial_bounds = {name: bounds(layers[name]) for name in weighted}


def glorot(layer: nn.Module) -> Bounds:
    """Return the bounds of Keras's default initial weights (Glorot and Bengio 2010); zero biases.

    Examples:
        >>> glorot(nn.Linear(2, 4))
        (1.0, 0.0)
    """
    weight = layer.get_parameter("weight")
    fan_out = weight.shape[0] * weight[0, 0].numel()
    return math.sqrt(6 / (weight[0].numel() + fan_out)), 0.0


def torch_default(layer: nn.Module) -> Bounds:
    """Return the bounds of torch's default initial weights and biases.

    Examples:
        >>> torch_default(nn.Linear(4, 1))
        (0.5, 0.5)
    """
    bound = 1 / math.sqrt(layer.get_parameter("weight")[0].numel())
    return bound, bound
