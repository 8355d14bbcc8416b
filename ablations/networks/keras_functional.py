"""A Keras tutorial's AlexNet at 224 pixels without a border: maps of 54, 26, 12 and 5 pixels.

Source:
    A tutorial in Korean with Keras's functional interface; 46,793,482 parameters for its ten
    classes, 50,849,512 for a thousand. ``recipe.weight_decay=0.0001`` is its ``l2(1e-4)``, which it
    has on convolutions 2 to 5. It prints the first rows of its layer table, and they agree: 34,944,
    384 and 614,656 parameters, 54 and 26 pixels.

Mistakes:
    An 11x11 kernel every 4 pixels takes 54 positions on 224 pixels, not the paper's 55, so that
    5x5x256 features reach the dense layers instead of 6x6x256. The first convolution and the dense
    layers are not regularized; the text quotes the paper's weight decay of 0.0005, the code has
    0.0002. The text says that ReLUs appear here for the first time (the paper takes them from Nair
    and Hinton 2010), and that the load on the CPU was the reason for two GPUs (it was the 3 GB of
    memory of each GPU). Batch normalization stands in for LRN, and there are no towers.
"""

from ablations.config import Run
from ablations.networks.fixed import Fixed, Stack, glorot


def build(run: Run, classes: int) -> Fixed:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    stack = Stack(run)
    stack.convolution(96, 11, stride=4)  # 54x54
    stack.batch_norm()
    stack.pool(3)  # 26x26
    stack.convolution(256, 5, padding=2)
    stack.batch_norm()
    stack.pool(3)  # 12x12
    stack.convolution(384, 3, padding=1)
    stack.batch_norm()
    stack.convolution(384, 3, padding=1)
    stack.batch_norm()
    stack.convolution(256, 3, padding=1)
    stack.batch_norm()
    stack.pool(3)  # 5x5
    stack.flatten()
    stack.dense(4096)
    stack.dropout(0.5)
    stack.dense(4096)
    stack.dropout(0.5)
    stack.logits(classes)
    decayed = ("conv2", "conv3", "conv4", "conv5")
    return Fixed(stack.layers, glorot, decay=2.0, decayed=decayed)
