"""Parts of the networks that their source fixes: those of five tutorials, and LeNet-5.

No technique of the paper can be changed in them, nor the images they take or their initial weights;
:func:`ablations.models.check` says so. Only their width can: 1 is the source's. What a source
does not give is the suite's: the optimizer, the augmentation, and the images minus their mean on
the scale of 0 to 255 unless the network says otherwise.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Collection

from torch import Tensor, nn

from ablations.techniques.norm import BatchNorm2d

Bounds = tuple[float | Tensor, float]


class Fixed(nn.Sequential):
    """A network with the decay and the initial weights that its source gives it.

    Keras's ``l2(x)`` adds x times the sum of squares to the loss and so 2 x w to the gradient:
    ``decay_scale`` is 2 in the layers that have it, 0 in all others, and ``recipe.weight_decay`` is
    the tutorial's x.

    Args:
        layers: Layers by name.
        bounds: From a layer to the largest initial weight and the largest initial bias; all values
            between the negative and the positive of it are equally likely.
        l2: Names of the layers with ``l2``; no weights of others are decayed.
    """

    def __init__(
        self,
        layers: dict[str, nn.Module],
        bounds: Callable[[nn.Module], Bounds],
        *,
        l2: Collection[str] = (),
    ) -> None:
        super().__init__(OrderedDict(layers))
        # Batch normalizations start as torch makes them, as Keras does.
        weighted = [
            name
            for name, layer in layers.items()
            if hasattr(layer, "weight") and not isinstance(layer, BatchNorm2d)
        ]
        self.decay_scale = {name: 2.0 * (name in l2) for name in weighted}
        self.initial_bounds = {name: bounds(layers[name]) for name in weighted}


def glorot(layer: nn.Module) -> Bounds:
    """Return the bounds of Keras's initial weights (Glorot and Bengio 2010); biases are zero.

    Examples:
        >>> glorot(nn.Linear(2, 4))
        (1.0, 0.0)
    """
    weight = layer.get_parameter("weight")
    fan_out = weight.shape[0] * weight[0, 0].numel()
    return math.sqrt(6 / (weight[0].numel() + fan_out)), 0.0


def torch_default(layer: nn.Module) -> Bounds:
    """Return the bounds of the initial weights and biases of torch's layers.

    Examples:
        >>> torch_default(nn.Linear(4, 1))
        (0.5, 0.5)
    """
    bound = 1 / math.sqrt(layer.get_parameter("weight")[0].numel())
    return bound, bound
