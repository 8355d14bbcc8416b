import pytest
import torch

from ablations.networks.alexnet import AlexNet
from ablations.networks.alexnet_small import small_stem
from ablations.techniques import Depth


@pytest.mark.parametrize(
    ("crop", "maps"), [(24, 3), (28, 3), (32, 4), (47, 5), (48, 3), (56, 3), (64, 4), (96, 6)]
)
def test_the_dense_layers_see_2_to_6_pixels(crop: int, maps: int) -> None:
    with torch.device("meta"):
        network = AlexNet(10, crop=crop, stem=small_stem(crop), width=0.25)
        assert network(torch.zeros(2, 3, crop, crop)).shape == (2, 10)
    assert network.fc6.in_features == 64 * maps**2


@pytest.mark.parametrize("crop", [24, 56])
@pytest.mark.parametrize("depth", list(Depth))
def test_each_depth_fits_small_images(depth: Depth, crop: int) -> None:
    with torch.device("meta"):
        network = AlexNet(10, crop=crop, stem=small_stem(crop), width=0.25, depth=depth)
        assert network(torch.zeros(2, 3, crop, crop)).shape == (2, 10)
    # Without convolution 5 the dense layers see the 96 maps of convolution 4 instead of 64.
    assert network.fc6.in_features == (96 if depth is Depth.no_conv5 else 64) * 9


def test_at_full_width_the_later_layers_are_the_printed_ones() -> None:
    with torch.device("meta"):
        small, printed = AlexNet(crop=96, stem=small_stem(96)), AlexNet()
    for (name, ours), theirs in zip(small.named_parameters(), printed.parameters(), strict=True):
        assert (ours.shape == theirs.shape) is (name != "conv1.weight")
