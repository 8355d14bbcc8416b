"""Builder for sequential networks."""

from torch import nn


class Stack:
    """Builds a sequence of named layers and tracks the shape of its output.

    Args:
        size: Height and width of the images, in pixels.
        width: Factor on the numbers of kernels and units.

    Attributes:
        layers: The layers so far, by name.
        size: Current height and width of the maps, in pixels; 1 after :meth:`flatten`.
        maps: Current number of maps or features.
    """

    def __init__(self, size: int, width: float = 1.0) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.size, self.width, self.maps = size, width, 3

    def scaled(self, printed: int) -> int:
        """Scale a number of kernels or units from width 1 to this width.

        The result is rounded to an even number, so that two towers have equal shares.
        """
        return 2 * round(printed * self.width / 2)

    def add(self, name: str, layer: nn.Module, *, size: int | None = None) -> None:
        """Add a layer that keeps the number of maps; ``size`` is the new size if it changes."""
        self.layers[name] = layer
        self.size = self.size if size is None else size

    def border(self, pixels: tuple[int, int, int, int]) -> None:
        """Add zero padding to the left, right, top and bottom of the images."""
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
            kernel: Height and width of the kernels, in pixels.
            stride: Stride of the kernels.
            padding: Zero padding on each side of the maps.
            groups: Number of groups.
        """
        layer = nn.Conv2d(self.maps, kernels, kernel, stride, padding, groups=groups)
        self.add(name, layer, size=(self.size + 2 * padding - kernel) // stride + 1)
        self.maps = kernels

    def flatten(self) -> None:
        """Add a layer that flattens the maps to features."""
        self.maps *= self.size**2
        self.add("flatten", nn.Flatten(), size=1)

    def linear(self, name: str, units: int) -> None:
        """Add a dense layer with biases."""
        self.add(name, nn.Linear(self.maps, units))
        self.maps = units
