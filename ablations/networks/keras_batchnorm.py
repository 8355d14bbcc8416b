"""A Keras tutorial's AlexNet at 227 pixels: batch normalization, one tower, 62,383,848 parameters.

Source:
    A tutorial in Korean that prints the whole layer table: 62,381,096 of the parameters are
    trained, 2,752 are the running means and variances. ``recipe.weight_decay=0.0005`` is its
    ``l2(5e-4)``, which it has on the five convolutions.

Mistakes:
    Batch normalization stands in for LRN without a word, after pooling in layers 1 and 2 and before
    it in layer 5. There are no towers, so that the network has 62.4 million parameters where the
    text quotes the paper's 60. A comment calls layer 5 "conv + batchnorm" and omits its pooling,
    the softmax after layer 8 is labelled as that of layer 7, and average pooling is imported but
    not used. ``l2(5e-4)`` is twice the paper's weight decay, on the convolutions only.
"""

from ablations.config import Run
from ablations.networks.fixed import Fixed, Stack, glorot


def build(run: Run, classes: int) -> Fixed:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    stack = Stack(run)
    stack.convolution(96, 11, stride=4)  # 55x55
    stack.pool(3)  # 27x27
    stack.batch_norm()
    stack.convolution(256, 5, padding=2)
    stack.pool(3)  # 13x13
    stack.batch_norm()
    stack.convolution(384, 3, padding=1)
    stack.batch_norm()
    stack.convolution(384, 3, padding=1)
    stack.batch_norm()
    stack.convolution(256, 3, padding=1)
    stack.batch_norm()
    stack.pool(3)  # 6x6
    stack.flatten()
    stack.dense(4096)
    stack.dropout(0.5)
    stack.dense(4096)
    stack.dropout(0.5)
    stack.logits(classes)
    decayed = ("conv1", "conv2", "conv3", "conv4", "conv5")
    return Fixed(stack.layers, glorot, decay=2.0, decayed=decayed)
