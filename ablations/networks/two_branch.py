"""A tutorial's AlexNet as its text has it: two branches, LRN after pooling, 60,965,224 parameters.

Source:
    The text of a tutorial in Chinese; its code is :mod:`ablations.networks.half_tower`. The border
    is the code's, the initial weights Keras's, no layer is regularized. The constants of LRN are
    the paper's, and a window stays within its branch.

Mistakes:
    Sizes of maps are written where those of kernels belong; here they are 5x5x48 for "27x27x48",
    3x3x256 for "13x13x256" and 3x3x192 for both "13x13x192". The second convolution is said to
    follow its own normalization instead of the first layer's, the seventh layer to read a pooling
    layer, and the last pooling to give 13x3x128 (6x6x128). Pooling precedes LRN as in CaffeNet;
    in the paper it follows. The two GPUs are said to train apart up to the last layer; the third
    convolution and all dense layers read both, and so they do here. The border of one pixel on one
    side and two on the other gives the paper's 55 positions, shifted by a pixel against the
    authors' code, whose three all lie on one side.
"""

from torch import nn

from ablations.config import Run
from ablations.networks.fixed import Fixed, Stack, glorot


def build(run: Run, classes: int) -> Fixed:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    stack = Stack(run)
    stack.reshape("border", nn.ZeroPad2d((1, 2, 1, 2)), 227)
    stack.convolution(96, 11, stride=4)  # 55x55
    stack.pool(3)  # 27x27
    stack.response_norm(towers=2)
    stack.convolution(256, 5, padding=2, groups=2)
    stack.pool(3)  # 13x13
    stack.response_norm(towers=2)
    stack.convolution(384, 3, padding=1)
    stack.convolution(384, 3, padding=1, groups=2)
    stack.convolution(256, 3, padding=1, groups=2)
    stack.pool(3)  # 6x6
    stack.flatten()
    stack.dense(4096)
    stack.dropout(0.5)
    stack.dense(4096)
    stack.dropout(0.5)
    stack.logits(classes)
    return Fixed(stack.layers, glorot)
