from ablations.techniques import Depth
from ablations.techniques.depth import convolutions


def test_names_say_which_convolutions_there_are() -> None:
    assert convolutions(Depth.five) == ("conv1", "conv2", "conv3", "conv4", "conv5")
    assert convolutions(Depth.six)[5:] == ("conv6",)
    assert convolutions(Depth.no_conv3_conv4) == ("conv1", "conv2", "conv5")
