from ablations.techniques import Depth
from ablations.techniques.depth import convolutions


def test_names_say_which_convolutions_there_are_and_the_papers_come_first() -> None:
    assert {kind.value: convolutions(kind) for kind in Depth} == {
        "five": ("conv1", "conv2", "conv3", "conv4", "conv5"),
        "six": ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6"),
        "no_conv2": ("conv1", "conv3", "conv4", "conv5"),
        "no_conv3": ("conv1", "conv2", "conv4", "conv5"),
        "no_conv4": ("conv1", "conv2", "conv3", "conv5"),
        "no_conv5": ("conv1", "conv2", "conv3", "conv4"),
        "no_conv3_conv4": ("conv1", "conv2", "conv5"),
    }
    assert next(iter(Depth)) is Depth.five
