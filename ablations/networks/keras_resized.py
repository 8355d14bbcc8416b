"""A Keras tutorial's AlexNet for CIFAR-10, which it blows up to 227 pixels inside the network.

Source:
    A tutorial in Korean; 58,324,746 parameters, of which 58,323,530 are trained. It reports a test
    accuracy of 0.8432 and a loss of 1.2488 on CIFAR-10, and overfitting. The pixels are raw, 0 to
    255: no mean is subtracted, nothing is divided. No layer is regularized.

Mistakes:
    The text has a first convolution without a border and 55 pixels, the code has Keras's ``same``
    and 57. The text omits the first pooling layer, then has the second give 27x27x256 (it gives
    14x14), and a ``same`` convolution turn that into 13x13. The second pooling layer is 2x2,
    against the text's own paragraph on overlapping pooling. The text lists one dense layer of 4096
    units and counts three; it says that the paper's images have 227 pixels, and that the code
    follows the paper, with batch normalization for LRN, no towers and two kinds of pooling. The
    first author's name is misspelt. Optimizer, epochs, batch size and validation are not given: the
    reported accuracy is an approximate target.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ablations.config import Run
from ablations.networks.fixed import Fixed, Stack, glorot


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


def build(run: Run, classes: int) -> Fixed:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    stack = Stack(run)
    stack.reshape("resize", Resize(227), 227)
    stack.convolution(96, 11, stride=4, padding=4)  # 57x57
    stack.pool(3)  # 28x28
    stack.batch_norm()
    stack.convolution(256, 5, padding=2)
    stack.pool(2)  # 14x14
    stack.batch_norm()
    stack.convolution(384, 3, padding=1)
    stack.convolution(384, 3, padding=1)
    stack.convolution(256, 3, padding=1)
    stack.pool(3)  # 6x6
    stack.batch_norm()
    stack.flatten()
    stack.dense(4096)
    stack.dropout(0.5)
    stack.dense(4096)
    stack.dropout(0.5)
    stack.logits(classes)
    return Fixed(stack.layers, glorot)
