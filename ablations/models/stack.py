"""Layers in the order in which a network's file writes them."""

from torch import nn


class Stack:
    """Layers by name; their maps and pixels are counted along, for the inputs of the next one.

    Args:
        size: Height and width of the images, in pixels.
        width: Factor on the numbers of kernels and units.

    Attributes:
        layers: The layers so far.
        size: Height and width of the last maps, in pixels; 1 after :meth:`flatten`.
        maps: Number of the last maps, or of features.
    """

    def __init__(self, size: int, width: float = 1.0) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.size, self.width, self.maps = size, width, 3

    def scaled(self, printed: int) -> int:
        """Kernels or units at the width, an even number: two towers share them equally."""
        return 2 * round(printed * self.width / 2)

    def add(self, name: str, layer: nn.Module, *, size: int | None = None) -> None:
        """Add a layer that keeps the number of maps; ``size`` is the pixels it leaves, if fewer."""
        self.layers[name] = layer
        self.size = self.size if size is None else size

    def border(self, pixels: tuple[int, int, int, int]) -> None:
        """Add zeros to the left, right, top and bottom of the images."""
        self.add("border", nn.ZeroPad2d(pixels), size=self.size + pixels[0] + pixels[1])

    def conv(
        self,
        name: str,
        kernels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
    ) -> None:
        """Add a convolution with biases.

        Args:
            name: Name of the layer.
            kernels: Number of kernels.
            kernel: Their height and width, in pixels.
            stride: Pixels between neighboring positions of a kernel.
            padding: Zeros on each side of the maps.
            groups: Equal parts of the maps that do not see each other.
        """
        layer = nn.Conv2d(self.maps, kernels, kernel, stride, padding, groups=groups)
        self.add(name, layer, size=(self.size + 2 * padding - kernel) // stride + 1)
        self.maps = kernels

    def flatten(self) -> None:
        """Add the step from maps to one row of features."""
        self.maps *= self.size**2
        self.add("flatten", nn.Flatten(), size=1)

    def linear(self, name: str, units: int) -> None:
        """Add a dense layer with biases."""
        self.add(name, nn.Linear(self.maps, units))
        self.maps = units
