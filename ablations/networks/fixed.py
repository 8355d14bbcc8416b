"""Networks that their source fixes in every detail: those of five tutorials, and LeNet-5.

No technique of the paper can be changed in them, nor the images they take or their initial weights;
:func:`ablations.networks.check` says so. Only their width can: 1 is the source's. What a source
does not give is the suite's: the optimizer, the augmentation, and the images less their mean on the
scale of 0 to 255 unless the network says otherwise.

A tutorial's softmax is part of the loss. Keras's ``l2(x)`` adds x times the sum of squares to the
loss and so 2 x w to the gradient: ``decay_scale`` is 2 in the layers that have it, 0 in all others,
and ``recipe.weight_decay`` is the tutorial's x.
"""

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from ablations.config import Run
from ablations.streams import counter_bits
from ablations.techniques.dropout import SeededDropout
from ablations.techniques.norm import BatchNorm2d, ResponseNorm

Bounds = tuple[float | Tensor, float]


class Fixed(nn.Sequential):
    """A network with the decay and the initial weights that its source gives it.

    Args:
        layers: Layers by name.
        bounds: From a layer to the largest initial weight and the largest initial bias; all values
            between the negative and the positive of it are equally likely.
        decay: Factor on the recipe's weight decay for the weights of the layers in ``decayed``.
        decayed: Names of layers; no weights of others are decayed.
    """

    def __init__(
        self,
        layers: dict[str, nn.Module],
        bounds: Callable[[nn.Module], Bounds],
        *,
        decay: float = 0.0,
        decayed: Collection[str] = (),
    ) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        # Batch normalizations start as torch makes them, as Keras does.
        weighted = [
            name
            for name, layer in layers.items()
            if hasattr(layer, "weight") and not isinstance(layer, BatchNorm2d)
        ]
        self.decay_scale = {name: decay * (name in decayed) for name in weighted}
        self.initial_bounds = {name: bounds(layers[name]) for name in weighted}


def glorot(layer: nn.Module) -> Bounds:
    """Keras's initial weights (Glorot and Bengio 2010), and biases of zero.

    Examples:
        >>> glorot(nn.Linear(2, 4))
        (1.0, 0.0)
    """
    weight = layer.get_parameter("weight")
    fan_out = weight.shape[0] * weight[0, 0].numel()
    return math.sqrt(6 / (weight[0].numel() + fan_out)), 0.0


def torch_default(layer: nn.Module) -> Bounds:
    """The initial weights and biases of torch's layers.

    Examples:
        >>> torch_default(nn.Linear(4, 1))
        (0.5, 0.5)
    """
    bound = 1 / math.sqrt(layer.get_parameter("weight")[0].numel())
    return bound, bound


class InvertedDropout(SeededDropout):
    """Dropout as Keras and torch have it: what is kept grows in training, nothing happens after.

    Args:
        features: Number of inputs.
        rate: Probability to be set to zero, as a multiple of 1/65536.
    """

    def toss(self, key: int, rows: Tensor) -> Tensor:
        """A coin of the rate for each input: a number of 16 bits, four of which make a word."""
        words = counter_bits(key, rows, -(-self.features // 4))
        numbers = words.view(torch.int16)[:, : self.features]
        return numbers >= round(self.rate * 2**16) - 2**15

    def forward(self, x: Tensor) -> Tensor:
        """Mask and scale ``x``, shape (N, features), in training."""
        return self.masked(x) / (1 - self.rate) if self.training else x


class Stack:
    """Layers in the order in which a tutorial writes them; their inputs are counted along.

    Layers with weights are numbered from the first convolution to the last dense layer, the others
    bear the number of the last one before them.

    Args:
        run: Its width scales the number of kernels and units, its crop is the size of the images.
    """

    def __init__(self, run: Run) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.width = run.width
        self.size = run.data.crop
        self.inputs = 3
        self.number = 0

    def scaled(self, n: int) -> int:
        """Kernels or units at the run's width, an even number: towers share them equally."""
        return 2 * round(n * self.width / 2)

    def add(self, name: str, layer: nn.Module) -> None:
        """Add a layer that keeps the shape; the number is put behind its name."""
        self.layers[f"{name}{self.number}"] = layer

    def reshape(self, name: str, layer: nn.Module, size: int) -> None:
        """Add a layer that brings the images to ``size`` pixels, before the first convolution."""
        self.layers[name] = layer
        self.size = size

    def convolution(
        self, kernels: int, size: int, *, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        """Add a convolution with biases, and its ReLU."""
        kernels = self.scaled(kernels)
        self.number += 1
        self.add("conv", nn.Conv2d(self.inputs, kernels, size, stride, padding, groups=groups))
        self.add("activation", nn.ReLU(inplace=True))
        self.inputs = kernels
        self.size = (self.size + 2 * padding - size) // stride + 1

    def pool(self, size: int) -> None:
        """Add max pooling every 2 pixels; no window hangs over the border."""
        self.add("pool", nn.MaxPool2d(size, stride=2))
        self.size = (self.size - size) // 2 + 1

    def batch_norm(self) -> None:
        """Add a batch normalization with Keras's constants: epsilon 0.001, momentum 0.99."""
        self.add("norm", BatchNorm2d(self.inputs, eps=1e-3, momentum=0.01))

    def response_norm(self, towers: int) -> None:
        """Add the paper's local response normalization (§3.3)."""
        self.add("norm", ResponseNorm(towers=towers))

    def flatten(self) -> None:
        """Add the step from maps to one row of features."""
        self.layers["flatten"] = nn.Flatten()
        self.inputs *= self.size**2

    def dropout(self, rate: float) -> None:
        """Add dropout of the last layer's outputs."""
        self.add("dropout", InvertedDropout(self.inputs, rate))

    def dense(self, units: int) -> None:
        """Add a hidden dense layer with biases, and its ReLU."""
        self.logits(self.scaled(units))
        self.add("activation", nn.ReLU(inplace=True))

    def logits(self, classes: int) -> None:
        """Add the last dense layer."""
        self.number += 1
        self.add("fc", nn.Linear(self.inputs, classes))
        self.inputs = classes
