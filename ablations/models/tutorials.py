"""The networks of five tutorials on AlexNet.

Each network follows the tutorial's code or text, with minimal fixes where that does not run. The
comments give the size of the maps after each line. The softmax of a tutorial is part of the loss.
All functions take the number of outputs and a factor on the numbers of kernels and units.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ablations.models.fixed import Fixed, glorot, torch_default
from ablations.models.stack import Stack
from ablations.techniques.dropout import InvertedDropout
from ablations.techniques.norm import BatchNorm2d, ResponseNorm


class Tutorial(Stack):
    """A :class:`Stack` with the layers of the tutorials; numbers are given at width 1."""

    def convolution(self, name: str, kernels: int, kernel: int, **options: int) -> None:
        """Add a convolution and a ReLU; see :meth:`Stack.conv`."""
        self.conv(name, self.scaled(kernels), kernel, **options)
        self.add(f"activation{name[-1]}", nn.ReLU(inplace=True))

    def pool(self, name: str, window: int) -> None:
        """Add max pooling with stride 2, without windows that extend beyond the border."""
        self.add(name, nn.MaxPool2d(window, stride=2), size=(self.size - window) // 2 + 1)

    def batch_norm(self, name: str) -> None:
        """Add batch normalization with Keras's defaults: epsilon 0.001, momentum 0.99."""
        self.add(name, BatchNorm2d(self.maps, eps=1e-3, momentum=0.01))

    def head(
        self, units: tuple[int, int], classes: int, *, dropout: float = 0.5, early: bool = False
    ) -> None:
        """Add the dense layers: ``fc6`` and ``fc7`` with ReLUs and dropout, and ``fc8``.

        Args:
            units: Units of the two hidden layers.
            classes: Number of outputs.
            dropout: Dropout rate.
            early: Whether dropout precedes the hidden layers instead of following them.
        """
        self.flatten()
        for number, size in enumerate(units, 6):
            if early:
                self.add(f"dropout{number - 1}", InvertedDropout(dropout))
            self.linear(f"fc{number}", self.scaled(size))
            self.add(f"activation{number}", nn.ReLU(inplace=True))
            if not early:
                self.add(f"dropout{number}", InvertedDropout(dropout))
        self.linear("fc8", classes)


class Resize(nn.Module):
    """Bilinear resizing, as in Keras's ``Resizing`` (half-pixel centers).

    Args:
        size: Height and width of the outputs, in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Resize shape (N, C, H, W) to (N, C, size, size)."""
        return F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)


def keras_batchnorm(classes: int = 1000, width: float = 1.0) -> Fixed:
    """Build a Keras tutorial's AlexNet for 227 pixels: one tower, 62,383,848 parameters.

    Source:
        A tutorial in Korean that prints the complete layer table: 62,381,096 trained parameters and
        2,752 running means and variances. ``recipe.weight_decay=0.0005`` corresponds to its
        ``l2(5e-4)`` on the five convolutions.

    Mistakes:
        Batch normalization replaces LRN without comment, after pooling in layers 1 and 2 and before
        it in layer 5. There are no towers, so the network has 62.4 million parameters, although the
        text states the paper's 60 million. A comment describes layer 5 as "conv + batchnorm" and
        omits its pooling. The softmax after layer 8 is labeled as that of layer 7. Average pooling
        is imported but not used. ``l2(5e-4)`` is twice the paper's weight decay, and only on the
        convolutions.
    """
    x = Tutorial(227, width)
    x.convolution("conv1", 96, 11, stride=4)  # 55x55
    x.pool("pool1", 3)  # 27x27
    x.batch_norm("norm1")
    x.convolution("conv2", 256, 5, padding=2)
    x.pool("pool2", 3)  # 13x13
    x.batch_norm("norm2")
    x.convolution("conv3", 384, 3, padding=1)
    x.batch_norm("norm3")
    x.convolution("conv4", 384, 3, padding=1)
    x.batch_norm("norm4")
    x.convolution("conv5", 256, 3, padding=1)
    x.batch_norm("norm5")
    x.pool("pool5", 3)  # 6x6
    x.head((4096, 4096), classes)
    return Fixed(x.layers, glorot, l2=("conv1", "conv2", "conv3", "conv4", "conv5"))


def keras_functional(classes: int = 1000, width: float = 1.0) -> Fixed:
    """Build a Keras tutorial's AlexNet for 224 pixels without padding: first maps of 54 pixels.

    Source:
        A tutorial in Korean with Keras's functional API; 46,793,482 parameters for its ten classes,
        50,849,512 for a thousand. ``recipe.weight_decay=0.0001`` corresponds to its ``l2(1e-4)`` on
        convolutions 2 to 5. The tutorial prints the first rows of its layer table; they agree with
        this network (34,944, 384 and 614,656 parameters; 54 and 26 pixels).

    Mistakes:
        An 11x11 kernel with stride 4 has 54 positions on 224 pixels, not the paper's 55, so the
        dense layers receive 5x5x256 features instead of 6x6x256. The first convolution and the
        dense layers are not regularized. The text states the paper's weight decay of 0.0005; the
        code has 0.0002. The text says that AlexNet was the first network with ReLUs (the paper
        takes them from Nair and Hinton 2010), and that two GPUs were used because of CPU load (the
        reason was the 3 GB of memory of each GPU). Batch normalization replaces LRN, and there are
        no towers.
    """
    x = Tutorial(224, width)
    x.convolution("conv1", 96, 11, stride=4)  # 54x54
    x.batch_norm("norm1")
    x.pool("pool1", 3)  # 26x26
    x.convolution("conv2", 256, 5, padding=2)
    x.batch_norm("norm2")
    x.pool("pool2", 3)  # 12x12
    x.convolution("conv3", 384, 3, padding=1)
    x.batch_norm("norm3")
    x.convolution("conv4", 384, 3, padding=1)
    x.batch_norm("norm4")
    x.convolution("conv5", 256, 3, padding=1)
    x.batch_norm("norm5")
    x.pool("pool5", 3)  # 5x5
    x.head((4096, 4096), classes)
    return Fixed(x.layers, glorot, l2=("conv2", "conv3", "conv4", "conv5"))


def keras_resized(classes: int = 1000, width: float = 1.0) -> Fixed:
    """Build a Keras tutorial's AlexNet for CIFAR-10, which resizes images to 227 pixels.

    Source:
        A tutorial in Korean; 58,324,746 parameters, of which 58,323,530 are trained. It reports a
        test accuracy of 0.8432, a loss of 1.2488 on CIFAR-10, and overfitting. The input is raw
        pixels from 0 to 255, without mean subtraction or scaling. No layer is regularized.

    Mistakes:
        According to the text, the first convolution has no padding and gives 55 pixels; the code
        has ``same`` padding and gives 57. The text omits the first pooling layer, states 27x27x256
        after the second (it gives 14x14), and then 13x13 after a ``same`` convolution. The second
        pooling layer is 2x2, although the text explains overlapping pooling. The text lists one
        dense layer of 4096 units but counts three dense layers. It says that the paper's images
        have 227 pixels and that the code follows the paper, although the code has batch
        normalization instead of LRN, no towers, and two kinds of pooling. The first author's name
        is misspelled. Optimizer, epochs, batch size and validation are not stated, so the reported
        accuracy is only an approximate target.
    """
    x = Tutorial(32, width)
    x.add("resize", Resize(227), size=227)
    x.convolution("conv1", 96, 11, stride=4, padding=4)  # 57x57
    x.pool("pool1", 3)  # 28x28
    x.batch_norm("norm1")
    x.convolution("conv2", 256, 5, padding=2)
    x.pool("pool2", 2)  # 14x14
    x.batch_norm("norm2")
    x.convolution("conv3", 384, 3, padding=1)
    x.convolution("conv4", 384, 3, padding=1)
    x.convolution("conv5", 256, 3, padding=1)
    x.pool("pool5", 3)  # 6x6
    x.batch_norm("norm5")
    x.head((4096, 4096), classes)
    return Fixed(x.layers, glorot)


def torch_style(classes: int = 1000, width: float = 1.0) -> Fixed:
    """Build a tutorial's AlexNet in PyTorch style for 224 pixels: 60,965,224 parameters.

    Source:
        A tutorial in Korean whose code does not run as written. No layer is regularized; the
        initial weights are torch's defaults.

    Mistakes:
        The second convolution expects 48 maps, but the first gives 96. Here the second, fourth and
        fifth have two groups, as in the paper; in the tutorial the fourth and fifth have none. The
        code as written would have 62,071,144 parameters; with 96 maps and no groups, 62,378,344.
        224 pixels without padding give 54 positions, not the tutorial's 55; here the padding is 2,
        as in torchvision. The call ``Conv2d(3, 96, 11, 11)`` would have a stride of 11; the text
        says 4. The text recommends LRN, but the code has none. The list of shapes omits the last
        pooling layer. Dropout precedes the two hidden dense layers; in the paper it follows them.
        The explicit softmax would be applied twice with torch's cross-entropy.
    """
    x = Tutorial(224, width)
    x.convolution("conv1", 96, 11, stride=4, padding=2)  # 55x55
    x.pool("pool1", 3)  # 27x27
    x.convolution("conv2", 256, 5, padding=2, groups=2)
    x.pool("pool2", 3)  # 13x13
    x.convolution("conv3", 384, 3, padding=1)
    x.convolution("conv4", 384, 3, padding=1, groups=2)
    x.convolution("conv5", 256, 3, padding=1, groups=2)
    x.pool("pool5", 3)  # 6x6
    x.head((4096, 4096), classes, early=True)
    return Fixed(x.layers, torch_default)


def two_branch(classes: int = 1000, width: float = 1.0) -> Fixed:
    """Build the AlexNet of a tutorial's text, with two branches: 60,965,224 parameters.

    Source:
        The text of a tutorial in Chinese; its code is :func:`half_tower_v1`. The padding is the
        code's, and the initial weights are Keras's defaults. No layer is regularized. The constants
        of LRN are the paper's, and a window stays within its branch.

    Mistakes:
        Kernel sizes are given as sizes of maps: "27x27x48" should be 5x5x48, "13x13x256" should be
        3x3x256, and both "13x13x192" should be 3x3x192; this network has the correct sizes. The
        text says that the second convolution reads its own normalized output (it reads that of the
        first layer), that the seventh layer reads a pooling layer (it reads the sixth), and that
        the last pooling gives 13x3x128 (it gives 6x6x128). Pooling precedes LRN, as in CaffeNet; in
        the paper it follows. The text says that the two GPUs are trained separately up to the last
        layer; in the paper and here the third convolution and all dense layers read both. The
        padding of one and two pixels gives the paper's 55 positions, shifted by one pixel relative
        to the authors' code, which pads three pixels on one side.
    """
    x = Tutorial(224, width)
    x.border((1, 2, 1, 2))  # 227x227
    x.convolution("conv1", 96, 11, stride=4)  # 55x55
    x.pool("pool1", 3)  # 27x27
    x.add("norm1", ResponseNorm(towers=2))
    x.convolution("conv2", 256, 5, padding=2, groups=2)
    x.pool("pool2", 3)  # 13x13
    x.add("norm2", ResponseNorm(towers=2))
    x.convolution("conv3", 384, 3, padding=1)
    x.convolution("conv4", 384, 3, padding=1, groups=2)
    x.convolution("conv5", 256, 3, padding=1, groups=2)
    x.pool("pool5", 3)  # 6x6
    x.head((4096, 4096), classes)
    return Fixed(x.layers, glorot)


def half_tower_v1(classes: int = 1000, width: float = 1.0) -> Fixed:
    """Build one tower from a tutorial's code, version 1: 16,630,440 parameters.

    Source:
        The Keras code of a tutorial in Chinese whose text is :func:`two_branch`. The hidden layers
        have 2048 and 2048 units; those of ``half_tower_v2`` have 1024 and 128. No layer is
        regularized.

    Mistakes:
        The code builds half of AlexNet: one tower, without connections of the third convolution to
        the other, and without the LRN of the text. Dropout of 0.2 precedes the hidden dense layers;
        the text says 0.5, and in the paper dropout of 0.5 follows them. Comments say "(None, 5)"
        for a default of 1000 classes, and "2048" for layers of 1024 and 128 units. The padding
        gives the paper's 55 positions, shifted by one pixel relative to the authors' code.
    """
    return _half_tower(classes, width, units=(2048, 2048))


def half_tower_v2(classes: int = 1000, width: float = 1.0) -> Fixed:
    """Build version 2 of :func:`half_tower_v1`: 5,925,672 parameters."""
    return _half_tower(classes, width, units=(1024, 128))


def _half_tower(classes: int, width: float, units: tuple[int, int]) -> Fixed:
    x = Tutorial(224, width)
    x.border((1, 2, 1, 2))  # 227x227
    x.convolution("conv1", 48, 11, stride=4)  # 55x55
    x.pool("pool1", 3)  # 27x27
    x.convolution("conv2", 128, 5, padding=2)
    x.pool("pool2", 3)  # 13x13
    x.convolution("conv3", 192, 3, padding=1)
    x.convolution("conv4", 192, 3, padding=1)
    x.convolution("conv5", 128, 3, padding=1)
    x.pool("pool5", 3)  # 6x6
    x.head(units, classes, dropout=0.2, early=True)
    return Fixed(x.layers, glorot)
