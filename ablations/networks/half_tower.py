"""A tutorial's code for one of the two towers, in two versions of its hidden dense layers.

Source:
    The code of a tutorial in Chinese, in Keras, whose text is :mod:`ablations.networks.two_branch`.
    ``half_tower_v1`` has hidden layers of 2048 and 2048 units and 16,630,440 parameters for a
    thousand classes, ``half_tower_v2`` of 1024 and 128 units and 5,925,672. No layer is
    regularized.

Mistakes:
    Half a network is called AlexNet: one tower, without the third convolution's view of the other,
    and without LRN, which the text has. Dropout of 0.2 precedes the hidden dense layers; the text
    has 0.5, the paper 0.5 after them. Comments say "(None, 5)" beside a default of 1000 classes,
    and "2048" beside layers of 1024 and 128 units. The border gives the paper's 55 positions,
    shifted by a pixel against the authors' code.
"""

from torch import nn

from ablations.config import Model, Run
from ablations.networks.fixed import Fixed, Stack, glorot

_UNITS = {Model.half_tower_v1: (2048, 2048), Model.half_tower_v2: (1024, 128)}


def build(run: Run, classes: int) -> Fixed:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    units6, units7 = _UNITS[run.model]
    stack = Stack(run)
    stack.reshape("border", nn.ZeroPad2d((1, 2, 1, 2)), 227)
    stack.convolution(48, 11, stride=4)  # 55x55
    stack.pool(3)  # 27x27
    stack.convolution(128, 5, padding=2)
    stack.pool(3)  # 13x13
    stack.convolution(192, 3, padding=1)
    stack.convolution(192, 3, padding=1)
    stack.convolution(128, 3, padding=1)
    stack.pool(3)  # 6x6
    stack.flatten()
    stack.dropout(0.2)
    stack.dense(units6)
    stack.dropout(0.2)
    stack.dense(units7)
    stack.logits(classes)
    return Fixed(stack.layers, glorot)
