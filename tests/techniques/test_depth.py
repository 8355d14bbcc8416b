from ablations.techniques import Depth
from ablations.techniques.depth import convolutions


def test_names_say_which_convolutions_are_missing() -> None:
    assert {kind.value: convolutions(kind) for kind in Depth} == {
        "five": ("conv1", "conv2", "conv3", "conv4", "conv5"),
        "six": ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6"),
        "no_conv2": ("conv1", "conv3", "conv4", "conv5"),
        "no_conv3": ("conv1", "conv2", "conv4", "conv5"),
        "no_conv4": ("conv1", "conv2", "conv3", "conv5"),
        "no_conv5": ("conv1", "conv2", "conv3", "conv4"),
        "no_conv3_conv4": ("conv1", "conv2", "conv5"),
    }


def test_each_middle_convolution_can_be_removed_by_itself() -> None:
    five = set(convolutions(Depth.five))
    alone = [five - set(convolutions(kind)) for kind in Depth]
    for name in ("conv2", "conv3", "conv4", "conv5"):
        assert {name} in alone


def test_the_paper_s_network_comes_first() -> None:
    assert next(iter(Depth)) is Depth.five


def test_the_sixth_comes_on_top() -> None:
    assert convolutions(Depth.six) == (*convolutions(Depth.five), "conv6")
