"""The networks of five tutorials on AlexNet.

Each network follows the tutorial's code or text, with minimal fixes where that does not run. The
comments give the sizes of the maps after a convolution and after its pooling. The softmax of a
tutorial is part of the loss. All functions take the number of outputs and a factor on the numbers
of kernels and units.
"""

from torch import nn

from ablations.models.fixed import Fixed, glorot, torch_default
from ablations.models.stack import Stack
from ablations.techniques.dropout import InvertedDropout
from ablations.techniques.norm import BatchNorm2d, ResponseNorm


class Tutorial(Stack):
    """A :class:`Stack` with the layers of the tutorials; numbers are given at width 1."""

    def block(
        self, number: int, kernels: int, kernel: int, then: str = "", window: int = 3, **rest: int
    ) -> None:
        """Add a convolution, a ReLU, and the layers named in ``then``, in this order.

        Args:
            number: Number of the convolution, in the names of the layers.
            kernels: Number of kernels.
            kernel: Height and width of the kernels, in pixels.
            then: Words: ``pool``, max pooling with stride 2 that does not extend beyond the border;
                ``batch``, batch normalization with Keras's constants; ``lrn``, response
                normalization within each of two branches.
            window: Height and width of the pooling windows, in pixels.
            rest: Stride, padding and groups, see :meth:`Stack.conv`.
        """
        self.conv(f"conv{number}", self.scaled(kernels), kernel, **rest)
        self.add(f"activation{number}", nn.ReLU(inplace=True))
        for word in then.split():
            match word:
                case "pool":
                    size = (self.size - window) // 2 + 1
                    self.add(f"pool{number}", nn.MaxPool2d(window, stride=2), size=size)
                case "batch":
                    self.add(f"norm{number}", BatchNorm2d(self.maps, eps=1e-3, momentum=0.01))
                case "lrn":
                    self.add(f"norm{number}", ResponseNorm(towers=2))

    def head(self, *units: int, classes: int, dropout: float = 0.5, early: bool = False) -> None:
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
    x.block(1, 96, 11, "pool batch", stride=4)  # 55x55, 27x27
    x.block(2, 256, 5, "pool batch", padding=2)  # 27x27, 13x13
    x.block(3, 384, 3, "batch", padding=1)
    x.block(4, 384, 3, "batch", padding=1)
    x.block(5, 256, 3, "batch pool", padding=1)  # 13x13, 6x6
    x.head(4096, 4096, classes=classes)
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
    x.block(1, 96, 11, "batch pool", stride=4)  # 54x54, 26x26
    x.block(2, 256, 5, "batch pool", padding=2)  # 26x26, 12x12
    x.block(3, 384, 3, "batch", padding=1)
    x.block(4, 384, 3, "batch", padding=1)
    x.block(5, 256, 3, "batch pool", padding=1)  # 12x12, 5x5
    x.head(4096, 4096, classes=classes)
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
    # With half-pixel centers, as Keras's ``Resizing``.
    x.add("resize", nn.Upsample(227, mode="bilinear", align_corners=False), size=227)
    x.block(1, 96, 11, "pool batch", stride=4, padding=4)  # 57x57, 28x28
    x.block(2, 256, 5, "pool batch", window=2, padding=2)  # 28x28, 14x14
    x.block(3, 384, 3, padding=1)
    x.block(4, 384, 3, padding=1)
    x.block(5, 256, 3, "pool batch", padding=1)  # 14x14, 6x6
    x.head(4096, 4096, classes=classes)
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
    x.block(1, 96, 11, "pool", stride=4, padding=2)  # 55x55, 27x27
    x.block(2, 256, 5, "pool", padding=2, groups=2)  # 27x27, 13x13
    x.block(3, 384, 3, padding=1)
    x.block(4, 384, 3, padding=1, groups=2)
    x.block(5, 256, 3, "pool", padding=1, groups=2)  # 13x13, 6x6
    x.head(4096, 4096, classes=classes, early=True)
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
    x.block(1, 96, 11, "pool lrn", stride=4)  # 55x55, 27x27
    x.block(2, 256, 5, "pool lrn", padding=2, groups=2)  # 27x27, 13x13
    x.block(3, 384, 3, padding=1)
    x.block(4, 384, 3, padding=1, groups=2)
    x.block(5, 256, 3, "pool", padding=1, groups=2)  # 13x13, 6x6
    x.head(4096, 4096, classes=classes)
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
    return _half_tower(classes, width, 2048, 2048)


def half_tower_v2(classes: int = 1000, width: float = 1.0) -> Fixed:
    """Build version 2 of :func:`half_tower_v1`: 5,925,672 parameters."""
    return _half_tower(classes, width, 1024, 128)


def _half_tower(classes: int, width: float, *units: int) -> Fixed:
    x = Tutorial(224, width)
    x.border((1, 2, 1, 2))  # 227x227
    x.block(1, 48, 11, "pool", stride=4)  # 55x55, 27x27
    x.block(2, 128, 5, "pool", padding=2)  # 27x27, 13x13
    x.block(3, 192, 3, padding=1)
    x.block(4, 192, 3, padding=1)
    x.block(5, 128, 3, "pool", padding=1)  # 13x13, 6x6
    x.head(*units, classes=classes, dropout=0.2, early=True)
    return Fixed(x.layers, glorot)
