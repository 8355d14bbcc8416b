"""The networks of five tutorials on AlexNet, line by line as their source has them.

Each is what its code or text describes, with the smallest change where that cannot run; the
comments are the maps after a line, at the source's width. A tutorial's softmax is part of the loss.
Each function takes the number of outputs, and a factor on the numbers of kernels and units.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ablations.models.fixed import Fixed, glorot, torch_default
from ablations.models.stack import Stack
from ablations.techniques.dropout import InvertedDropout
from ablations.techniques.norm import BatchNorm2d, ResponseNorm


class Tutorial(Stack):
    """A stack of what the tutorials use: numbers are the source's, and ReLUs come along."""

    def convolution(self, name: str, kernels: int, kernel: int, **options: int) -> None:
        """Add a convolution with its ReLU; see :meth:`Stack.conv`."""
        self.conv(name, self.scaled(kernels), kernel, **options)
        self.add(f"activation{name[-1]}", nn.ReLU(inplace=True))

    def pool(self, name: str, window: int) -> None:
        """Add max pooling every 2 pixels; no window hangs over the border."""
        self.add(name, nn.MaxPool2d(window, stride=2), size=(self.size - window) // 2 + 1)

    def batch_norm(self, name: str) -> None:
        """Add a batch normalization with Keras's constants: epsilon 0.001, momentum 0.99."""
        self.add(name, BatchNorm2d(self.maps, eps=1e-3, momentum=0.01))

    def head(
        self, units: tuple[int, int], classes: int, *, dropout: float = 0.5, early: bool = False
    ) -> None:
        """Add the dense layers: ``fc6`` and ``fc7`` with their ReLUs, and ``fc8``.

        Args:
            units: Units of both hidden layers.
            classes: Number of outputs.
            dropout: Rate of the dropout of the hidden layers' outputs.
            early: Dropout of their inputs instead.
        """
        self.flatten()
        for number, size in enumerate(units, 6):
            if early:
                self.add(f"dropout{number - 1}", InvertedDropout(self.maps, dropout))
            self.linear(f"fc{number}", self.scaled(size))
            self.add(f"activation{number}", nn.ReLU(inplace=True))
            if not early:
                self.add(f"dropout{number}", InvertedDropout(self.maps, dropout))
        self.linear("fc8", classes)


class Resize(nn.Module):
    """Keras's ``Resizing``: bilinear, each pixel at the center of its square.

    Args:
        size: Height and width of the outputs, in pixels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, C, H, W) to (N, C, size, size)."""
        return F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False)


def keras_batchnorm(classes: int = 1000, width: float = 1.0) -> Fixed:
    """A Keras tutorial's AlexNet at 227 pixels: one tower, 62,383,848 parameters.

    Source:
        A tutorial in Korean that prints the whole layer table: 62,381,096 of the parameters are
        trained, 2,752 are the running means and variances. ``recipe.weight_decay=0.0005`` is its
        ``l2(5e-4)``, which it has on the five convolutions.

    Mistakes:
        Batch normalization stands in for LRN without a word, after pooling in layers 1 and 2 and
        before it in layer 5. There are no towers, so that the network has 62.4 million parameters
        where the text quotes the paper's 60. A comment calls layer 5 "conv + batchnorm" and omits
        its pooling, the softmax after layer 8 is labelled as that of layer 7, and average pooling
        is imported but not used. ``l2(5e-4)`` is twice the paper's weight decay, on the
        convolutions only.
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
    """A Keras tutorial's AlexNet at 224 pixels without a border: maps of 54, 26, 12 and 5 pixels.

    Source:
        A tutorial in Korean with Keras's functional interface; 46,793,482 parameters for its ten
        classes, 50,849,512 for a thousand. ``recipe.weight_decay=0.0001`` is its ``l2(1e-4)``,
        which it has on convolutions 2 to 5. It prints the first rows of its layer table, and they
        agree: 34,944, 384 and 614,656 parameters, 54 and 26 pixels.

    Mistakes:
        An 11x11 kernel every 4 pixels takes 54 positions on 224 pixels, not the paper's 55, so that
        5x5x256 features reach the dense layers instead of 6x6x256. The first convolution and the
        dense layers are not regularized; the text quotes the paper's weight decay of 0.0005, the
        code has 0.0002. The text says that ReLUs appear here for the first time (the paper takes
        them from Nair and Hinton 2010), and that the load on the CPU was the reason for two GPUs
        (it was the 3 GB of memory of each GPU). Batch normalization stands in for LRN, and there
        are no towers.
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
    """A Keras tutorial's AlexNet for CIFAR-10, which it blows up to 227 pixels inside the network.

    Source:
        A tutorial in Korean; 58,324,746 parameters, of which 58,323,530 are trained. It reports a
        test accuracy of 0.8432 and a loss of 1.2488 on CIFAR-10, and overfitting. The pixels are
        raw, 0 to 255: no mean is subtracted, nothing is divided. No layer is regularized.

    Mistakes:
        The text has a first convolution without a border and 55 pixels, the code has Keras's
        ``same`` and 57. The text omits the first pooling layer, then has the second give 27x27x256
        (it gives 14x14), and a ``same`` convolution turn that into 13x13. The second pooling layer
        is 2x2, against the text's own paragraph on overlapping pooling. The text lists one dense
        layer of 4096 units and counts three; it says that the paper's images have 227 pixels, and
        that the code follows the paper, with batch normalization for LRN, no towers and two kinds
        of pooling. The first author's name is misspelt. Optimizer, epochs, batch size and
        validation are not given: the reported accuracy is an approximate target.
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
    """A tutorial's AlexNet in the style of torch at 224 pixels, made whole: 60,965,224 parameters.

    Source:
        A tutorial in Korean whose code cannot run as written. No layer is regularized; the initial
        weights are those of torch's layers.

    Mistakes:
        The second convolution takes 48 maps where the first gives 96; here it, the fourth and the
        fifth have two groups, which makes the paper's towers of it. As written there would be
        62,071,144 parameters; with 96 maps and without groups 62,378,344. The fourth and fifth are
        not grouped in the tutorial, against its own second. 224 pixels without a border give 54
        positions, not the tutorial's 55; here there are two zeros on each side, as in torchvision.
        The call ``Conv2d(3, 96, 11, 11)`` would move the kernel by 11 pixels; the text has 4. LRN
        is praised and absent. The last pooling layer is missing in the list of shapes. Dropout
        precedes the two hidden dense layers where the paper's follows them. An explicit softmax
        would be taken twice with torch's cross entropy.
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
    """A tutorial's AlexNet as its text has it, in two branches: 60,965,224 parameters.

    Source:
        The text of a tutorial in Chinese; its code is :func:`half_tower_v1`. The border is the
        code's, the initial weights Keras's, no layer is regularized. The constants of LRN are the
        paper's, and a window stays within its branch.

    Mistakes:
        Sizes of maps are written where those of kernels belong; here they are 5x5x48 for
        "27x27x48", 3x3x256 for "13x13x256" and 3x3x192 for both "13x13x192". The second convolution
        is said to follow its own normalization instead of the first layer's, the seventh layer to
        read a pooling layer, and the last pooling to give 13x3x128 (6x6x128). Pooling precedes LRN
        as in CaffeNet; in the paper it follows. The two GPUs are said to train apart up to the last
        layer; the third convolution and all dense layers read both, and so they do here. The border
        of one pixel on one side and two on the other gives the paper's 55 positions, shifted by a
        pixel against the authors' code, whose three all lie on one side.
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
    """A tutorial's code for one of the two towers, its first version: 16,630,440 parameters.

    Source:
        The code of a tutorial in Chinese, in Keras, whose text is :func:`two_branch`. The hidden
        layers have 2048 and 2048 units, those of ``half_tower_v2`` 1024 and 128. No layer is
        regularized.

    Mistakes:
        Half a network is called AlexNet: one tower, without the third convolution's view of the
        other, and without LRN, which the text has. Dropout of 0.2 precedes the hidden dense layers;
        the text has 0.5, the paper 0.5 after them. Comments say "(None, 5)" beside a default of
        1000 classes, and "2048" beside layers of 1024 and 128 units. The border gives the paper's
        55 positions, shifted by a pixel against the authors' code.
    """
    return _half_tower(classes, width, units=(2048, 2048))


def half_tower_v2(classes: int = 1000, width: float = 1.0) -> Fixed:
    """The second version of :func:`half_tower_v1`: 5,925,672 parameters."""
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
