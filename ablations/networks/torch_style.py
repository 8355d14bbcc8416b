"""A tutorial's AlexNet in the style of torch at 224 pixels, made whole: 60,965,224 parameters.

Source:
    A tutorial in Korean whose code cannot run as written. No layer is regularized; the initial
    weights are those of torch's layers.

Mistakes:
    The second convolution takes 48 maps where the first gives 96; here it, the fourth and the fifth
    have two groups, which makes the paper's towers of it. As written there would be 62,071,144
    parameters; with 96 maps and without groups 62,378,344. The fourth and fifth are not grouped in
    the tutorial, against its own second. 224 pixels without a border give 54 positions, not the
    tutorial's 55; here there are two zeros on each side, as in torchvision. The call
    ``Conv2d(3, 96, 11, 11)`` would move the kernel by 11 pixels; the text has 4. LRN is praised and
    absent. The last pooling layer is missing in the list of shapes. Dropout precedes the two hidden
    dense layers where the paper's follows them. An explicit softmax would be taken twice with
    torch's cross entropy.
"""

from ablations.config import Run
from ablations.networks.fixed import Fixed, Stack, torch_default


def build(run: Run, classes: int) -> Fixed:
    """The network of a run, before :mod:`ablations.networks.initialization`."""
    stack = Stack(run)
    stack.convolution(96, 11, stride=4, padding=2)  # 55x55
    stack.pool(3)  # 27x27
    stack.convolution(256, 5, padding=2, groups=2)
    stack.pool(3)  # 13x13
    stack.convolution(384, 3, padding=1)
    stack.convolution(384, 3, padding=1, groups=2)
    stack.convolution(256, 3, padding=1, groups=2)
    stack.pool(3)  # 6x6
    stack.flatten()
    stack.dropout(0.5)
    stack.dense(4096)
    stack.dropout(0.5)
    stack.dense(4096)
    stack.logits(classes)
    return Fixed(stack.layers, torch_default)
